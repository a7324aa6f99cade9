//! `google.cloud.binaryauthorization.v1`.

use super::Package;

pub(super) const TABLE: Package = Package {
    name: "google.cloud.binaryauthorization.v1",
    text: "
Policy {
  1 name string;
  6 description string;
  7 globalPolicyEvaluationMode Policy.GlobalPolicyEvaluationMode;
  2 admissionWhitelistPatterns AdmissionWhitelistPattern*;
  3 clusterAdmissionRules map<AdmissionRule>;
  10 kubernetesNamespaceAdmissionRules map<AdmissionRule>;
  8 kubernetesServiceAccountAdmissionRules map<AdmissionRule>;
  9 istioServiceIdentityAdmissionRules map<AdmissionRule>;
  4 defaultAdmissionRule AdmissionRule;
  5 updateTime Timestamp;
  11 etag string;
}
enum Policy.GlobalPolicyEvaluationMode { 0 GLOBAL_POLICY_EVALUATION_MODE_UNSPECIFIED; 1 ENABLE; 2 DISABLE; }
AdmissionWhitelistPattern { 1 namePattern string; }
AdmissionRule {
  1 evaluationMode AdmissionRule.EvaluationMode;
  2 requireAttestationsBy string*;
  3 enforcementMode AdmissionRule.EnforcementMode;
}
enum AdmissionRule.EvaluationMode {
  0 EVALUATION_MODE_UNSPECIFIED; 1 ALWAYS_ALLOW; 2 REQUIRE_ATTESTATION; 3 ALWAYS_DENY;
}
enum AdmissionRule.EnforcementMode {
  0 ENFORCEMENT_MODE_UNSPECIFIED; 1 ENFORCED_BLOCK_AND_AUDIT_LOG; 2 DRYRUN_AUDIT_LOG_ONLY;
}
Attestor {
  1 name string;
  6 description string;
  3 userOwnedGrafeasNote UserOwnedGrafeasNote|attestor_type;
  4 updateTime Timestamp;
  7 etag string;
}
UserOwnedGrafeasNote {
  1 noteReference string;
  2 publicKeys AttestorPublicKey*;
  3 delegationServiceAccountEmail string;
}
AttestorPublicKey {
  1 comment string;
  2 id string;
  3 asciiArmoredPgpPublicKey string|public_key;
  5 pkixPublicKey PkixPublicKey|public_key;
}
PkixPublicKey {
  1 publicKeyPem string;
  2 signatureAlgorithm PkixPublicKey.SignatureAlgorithm;
  3 keyId string;
}
enum PkixPublicKey.SignatureAlgorithm {
  0 SIGNATURE_ALGORITHM_UNSPECIFIED;
  1 RSA_PSS_2048_SHA256; 1 RSA_SIGN_PSS_2048_SHA256;
  2 RSA_PSS_3072_SHA256; 2 RSA_SIGN_PSS_3072_SHA256;
  3 RSA_PSS_4096_SHA256; 3 RSA_SIGN_PSS_4096_SHA256;
  4 RSA_PSS_4096_SHA512; 4 RSA_SIGN_PSS_4096_SHA512;
  5 RSA_SIGN_PKCS1_2048_SHA256;
  6 RSA_SIGN_PKCS1_3072_SHA256;
  7 RSA_SIGN_PKCS1_4096_SHA256;
  8 RSA_SIGN_PKCS1_4096_SHA512;
  9 ECDSA_P256_SHA256; 9 EC_SIGN_P256_SHA256;
  10 ECDSA_P384_SHA384; 10 EC_SIGN_P384_SHA384;
  11 ECDSA_P521_SHA512; 11 EC_SIGN_P521_SHA512;
}
GetPolicyRequest { 1 name string; }
UpdatePolicyRequest { 1 policy Policy; }
CreateAttestorRequest { 1 parent string; 2 attestorId string; 3 attestor Attestor; }
GetAttestorRequest { 1 name string; }
UpdateAttestorRequest { 1 attestor Attestor; }
ListAttestorsRequest { 1 parent string; 2 pageSize int32; 3 pageToken string; }
ListAttestorsResponse { 1 attestors Attestor*; 2 nextPageToken string; }
DeleteAttestorRequest { 1 name string; }
GetSystemPolicyRequest { 1 name string; }
ValidateAttestationOccurrenceRequest {
  1 attestor string;
  2 attestation grafeas.v1.AttestationOccurrence;
  3 occurrenceNote string;
  4 occurrenceResourceUri string;
}
ValidateAttestationOccurrenceResponse {
  1 result ValidateAttestationOccurrenceResponse.Result;
  2 denialReason string;
}
enum ValidateAttestationOccurrenceResponse.Result { 0 RESULT_UNSPECIFIED; 1 VERIFIED; 2 ATTESTATION_NOT_VERIFIABLE; }
",
};

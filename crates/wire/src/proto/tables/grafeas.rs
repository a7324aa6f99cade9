//! `grafeas.v1`: what Container Analysis speaks over gRPC.
//!
//! Only attestations are kept here. The details of other kinds are known as far as their names, so that a refusal can
//! name them.

use super::Package;

pub(super) const TABLE: Package = Package {
    name: "grafeas.v1",
    text: "
Note {
  1 name string;
  2 shortDescription string;
  3 longDescription string;
  4 kind NoteKind;
  5 relatedUrl RelatedUrl*;
  6 expirationTime Timestamp;
  7 createTime Timestamp;
  8 updateTime Timestamp;
  9 relatedNoteNames string*;
  10 vulnerability opaque|type;
  11 build opaque|type;
  12 image opaque|type;
  13 package opaque|type;
  14 deployment opaque|type;
  15 discovery opaque|type;
  16 attestation AttestationNote|type;
  17 upgrade opaque|type;
  18 compliance opaque|type;
  19 dsseAttestation opaque|type;
  20 vulnerabilityAssessment opaque|type;
  21 sbomReference opaque|type;
  22 secret opaque|type;
}
RelatedUrl { 1 url string; 2 label string; }
AttestationNote { 1 hint AttestationNote.Hint; }
AttestationNote.Hint { 1 humanReadableName string; }
enum NoteKind {
  0 NOTE_KIND_UNSPECIFIED; 1 VULNERABILITY; 2 BUILD; 3 IMAGE; 4 PACKAGE; 5 DEPLOYMENT; 6 DISCOVERY; 7 ATTESTATION;
  8 UPGRADE; 9 COMPLIANCE; 10 DSSE_ATTESTATION; 11 VULNERABILITY_ASSESSMENT; 12 SBOM_REFERENCE; 13 SECRET;
}
Occurrence {
  1 name string;
  2 resourceUri string;
  3 noteName string;
  4 kind NoteKind;
  5 remediation string;
  6 createTime Timestamp;
  7 updateTime Timestamp;
  8 vulnerability opaque|details;
  9 build opaque|details;
  10 image opaque|details;
  11 package opaque|details;
  12 deployment opaque|details;
  13 discovery opaque|details;
  14 attestation AttestationOccurrence|details;
  15 upgrade opaque|details;
  16 compliance opaque|details;
  17 dsseAttestation opaque|details;
  18 envelope opaque;
  19 sbomReference opaque|details;
  20 secret opaque|details;
}
AttestationOccurrence { 1 serializedPayload bytes; 2 signatures Signature*; 3 jwts opaque*; }
Signature { 1 signature bytes; 2 publicKeyId string; }
GetNoteRequest { 1 name string; }
ListNotesRequest {
  1 parent string; 2 filter string; 3 pageSize int32; 4 pageToken string; 5 returnPartialSuccess bool;
}
ListNotesResponse { 1 notes Note*; 2 nextPageToken string; 3 unreachable string*; }
CreateNoteRequest { 1 parent string; 2 noteId string; 3 note Note; }
BatchCreateNotesRequest { 1 parent string; 2 notes map<Note>; }
BatchCreateNotesResponse { 1 notes Note*; }
UpdateNoteRequest { 1 name string; 2 note Note; 3 updateMask FieldMask; }
DeleteNoteRequest { 1 name string; }
ListNoteOccurrencesRequest { 1 name string; 2 filter string; 3 pageSize int32; 4 pageToken string; }
ListNoteOccurrencesResponse { 1 occurrences Occurrence*; 2 nextPageToken string; }
GetOccurrenceRequest { 1 name string; }
GetOccurrenceNoteRequest { 1 name string; }
ListOccurrencesRequest {
  1 parent string; 2 filter string; 3 pageSize int32; 4 pageToken string; 5 returnPartialSuccess bool;
}
ListOccurrencesResponse { 1 occurrences Occurrence*; 2 nextPageToken string; 3 unreachable string*; }
CreateOccurrenceRequest { 1 parent string; 2 occurrence Occurrence; }
BatchCreateOccurrencesRequest { 1 parent string; 2 occurrences Occurrence*; }
BatchCreateOccurrencesResponse { 1 occurrences Occurrence*; }
UpdateOccurrenceRequest { 1 name string; 2 occurrence Occurrence; 3 updateMask FieldMask; }
DeleteOccurrenceRequest { 1 name string; }
",
};

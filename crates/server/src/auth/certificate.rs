//! Client certificates on the API port: the person or account that a certificate names, issued by an authority that the
//! operator chose for this.

use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

use super::{Caller, Role, is_person};

/// What stands before a member's name among the certificate's URI names.
const MEMBER_URN: &str = "urn:binauthz:member:";

/// Whom a certificate names, if it names one and only one. That an authority of ours issued it was found out in the
/// handshake.
pub(crate) fn of_certificate(certificate: &CertificateDer<'_>) -> Option<Caller> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let mut members = certificate
        .valid_uri_names()
        .filter_map(|name| name.strip_prefix(MEMBER_URN));
    let member = members.next()?;
    let is_one = members.next().is_none() && is_person(member);
    is_one.then(|| Caller::new(member.to_owned(), Role::Member))
}

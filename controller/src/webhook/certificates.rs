//! Issues the webhook's certificate. Deterministic except for the random keys: the time is an
//! argument.
//!
//! Each certificate has its own authority, whose key is discarded after it has signed, so the key
//! cannot be stolen. Clients also trust the previous authority. A replica that still serves the
//! previous certificate therefore stays trusted.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use time::OffsetDateTime;

/// How long a certificate is valid.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long before its expiry a certificate is renewed.
const RENEW_BEFORE: Duration = Duration::from_secs(90 * 24 * 3600);

/// How much the clocks of two machines may differ.
const SKEW: Duration = Duration::from_secs(3600);

/// The line that ends each certificate in a list.
const PEM_END: &str = "-----END CERTIFICATE-----\n";

/// A certificate, its key and the authorities to trust, as the Secret contains them. The entries
/// have the names of type `kubernetes.io/tls`; `names` and `expires` are additions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bundle {
    /// The authorities to trust, the present one first, in PEM.
    pub(super) ca: String,
    /// The certificate in PEM.
    pub(super) certificate: String,
    /// Its key in PEM.
    pub(super) key: String,
    /// The host names in the certificate.
    pub(super) names: Vec<String>,
    /// When the certificate expires.
    pub(super) expires: Timestamp,
}

/// Why there is no usable certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum CertificateError {
    /// It cannot be issued.
    #[error("cannot issue a certificate: {0}")]
    Issue(#[from] rcgen::Error),
    /// It cannot be decoded.
    #[error("cannot decode the certificate in the Secret: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// The server cannot use it.
    #[error("cannot use the certificate in the Secret: {0}")]
    Use(#[from] rustls::Error),
    /// The time is out of range.
    #[error("the time is out of range: {0}")]
    Time(#[from] time::error::ComponentRange),
}

impl Bundle {
    /// Reads the entries of the Secret; `None` unless all are present.
    #[must_use]
    pub(super) fn read(data: &BTreeMap<String, ByteString>) -> Option<Self> {
        let text = |name: &str| String::from_utf8(data.get(name)?.0.clone()).ok();
        Some(Self {
            ca: text("ca.crt")?,
            certificate: text("tls.crt")?,
            key: text("tls.key")?,
            names: text("names")?.split(' ').map(str::to_owned).collect(),
            expires: text("expires")?.parse().ok()?,
        })
    }

    /// The entries for the Secret.
    #[must_use]
    pub(super) fn write(&self) -> BTreeMap<String, ByteString> {
        let entry = |name: &str, text: String| (name.to_owned(), ByteString(text.into_bytes()));
        [
            entry("ca.crt", self.ca.clone()),
            entry("tls.crt", self.certificate.clone()),
            entry("tls.key", self.key.clone()),
            entry("names", self.names.join(" ")),
            entry("expires", self.expires.to_string()),
        ]
        .into()
    }

    /// Issues a new certificate. Its clients also trust the authority of `previous`.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub(super) fn issue(names: &[String], now: Timestamp, previous: Option<&Self>) -> Result<Self, CertificateError> {
        let expires = now + LIFETIME;
        let mut authority = params(&[], now, expires)?;
        authority
            .distinguished_name
            .push(DnType::CommonName, format!("lodestone-webhook-ca-{}", now.as_second()));
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let mut leaf = params(names, now, expires)?;
        let common = names.first().cloned().unwrap_or_default();
        leaf.distinguished_name.push(DnType::CommonName, common);
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = leaf.signed_by(&key, &authority)?;
        // Only one previous authority is kept, so that the list does not grow.
        let previous_authority =
            previous.and_then(|previous| Some(previous.ca.split_once(PEM_END)?.0.to_owned() + PEM_END));
        Ok(Self {
            ca: normalize(&authority.pem()) + &previous_authority.unwrap_or_default(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            names: names.to_vec(),
            expires,
        })
    }

    /// Whether a new certificate is due: this one expires soon, has other names, or is not usable.
    #[must_use]
    pub(super) fn is_due(&self, names: &[String], now: Timestamp) -> bool {
        now + RENEW_BEFORE >= self.expires
            // A clock that was ahead issued it, so it may not be valid yet.
            || self.expires > now + LIFETIME + SKEW
            || self.names != names || self.certified().is_err()
    }

    /// Whether a client that trusts `authorities` trusts this certificate.
    #[must_use]
    pub(super) fn is_trusted_by(&self, authorities: &str) -> bool {
        let own = self.ca.split_once(PEM_END).map_or(self.ca.as_str(), |(own, _)| own);
        !own.is_empty() && authorities.contains(own)
    }

    /// The certificate and its key, in the form that the server needs.
    ///
    /// # Errors
    /// When they cannot be decoded or do not belong together.
    pub(super) fn certified(&self) -> Result<Arc<CertifiedKey>, CertificateError> {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())?;
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider())?;
        Ok(Arc::new(certified))
    }
}

fn params(names: &[String], now: Timestamp, expires: Timestamp) -> Result<CertificateParams, CertificateError> {
    let mut params = CertificateParams::new(names)?;
    params.not_before = OffsetDateTime::from_unix_timestamp((now - SKEW).as_second())?;
    params.not_after = OffsetDateTime::from_unix_timestamp(expires.as_second())?;
    Ok(params)
}

/// Normalizes line ends, so that certificates can be concatenated and split.
fn normalize(pem: &str) -> String {
    pem.replace("\r\n", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        vec!["webhook.here.svc".to_owned(), "webhook.here".to_owned()]
    }

    fn at(days: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + days * 24 * 3600).unwrap()
    }

    #[test]
    fn certificate_is_due_90_days_before_expiry_or_for_other_names() {
        let bundle = Bundle::issue(&names(), at(0), None).unwrap();
        assert!(!bundle.is_due(&names(), at(0)));
        assert!(!bundle.is_due(&names(), at(274)));
        assert!(bundle.is_due(&names(), at(276)));
        assert!(bundle.is_due(&["other".to_owned()], at(0)));
        assert!(bundle.is_due(&names(), at(-1)), "issued by a clock that was ahead");
        let broken = Bundle {
            key: "nonsense".to_owned(),
            ..bundle
        };
        assert!(broken.is_due(&names(), at(0)));
    }

    #[test]
    fn bundle_survives_the_round_trip_through_the_secret() {
        let bundle = Bundle::issue(&names(), at(0), None).unwrap();
        assert_eq!(Bundle::read(&bundle.write()), Some(bundle.clone()));
        let mut data = bundle.write();
        data.remove("tls.key");
        assert_eq!(Bundle::read(&data), None);
        assert_eq!(Bundle::read(&BTreeMap::new()), None);
    }

    #[test]
    fn renewed_certificate_keeps_only_the_previous_authority() {
        let first = Bundle::issue(&names(), at(0), None).unwrap();
        let second = Bundle::issue(&names(), at(300), Some(&first)).unwrap();
        let third = Bundle::issue(&names(), at(600), Some(&second)).unwrap();
        assert!(second.ca.ends_with(&first.ca) && second.ca.len() > first.ca.len());
        assert!(third.ca.contains(second.ca.strip_suffix(&first.ca).unwrap()));
        assert!(!third.ca.contains(&first.ca));
        assert_eq!(third.ca.matches(PEM_END).count(), 2);
        assert!(first.is_trusted_by(&second.ca) && second.is_trusted_by(&second.ca));
        assert!(!second.is_trusted_by(&first.ca) && !first.is_trusted_by(&third.ca));
    }
}

//! The certificate authority of a cluster and the credentials of its components.

use std::{fs, net::IpAddr, path::Path};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::state_dir::StateDir;

/// The certificate authority of a cluster.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    state: StateDir,
}

impl Authority {
    /// Creates the authority (`pki/ca.crt`), and the key pair that signs the tokens of service
    /// accounts (`pki/sa.key`, `pki/sa.pub`).
    pub(crate) fn create(state: &StateDir) -> Result<Self> {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "lodestone-test-cluster");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let tokens = KeyPair::generate()?;
        fs::write(state.join("pki/ca.crt"), issuer.pem())?;
        fs::write(state.join("pki/sa.key"), tokens.serialize_pem())?;
        fs::write(state.join("pki/sa.pub"), tokens.public_key_pem())?;
        Ok(Self {
            issuer,
            state: state.clone(),
        })
    }

    /// Issues a server certificate for `names` and `addresses`: `pki/NAME.crt` and `pki/NAME.key`.
    pub(crate) fn issue_server(&self, name: &str, names: &[&str], addresses: &[IpAddr]) -> Result<()> {
        let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
        params
            .subject_alt_names
            .extend(addresses.iter().copied().map(SanType::IpAddress));
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(name, &params)
    }

    /// Issues a client certificate for `user` in `group`: `pki/NAME.crt` and `pki/NAME.key`.
    pub(crate) fn issue_client(&self, name: &str, user: &str, group: Option<&str>) -> Result<()> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(name, &params)
    }

    fn issue(&self, name: &str, params: &CertificateParams) -> Result<()> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        fs::write(self.state.join(&format!("pki/{name}.crt")), certificate.pem())?;
        fs::write(self.state.join(&format!("pki/{name}.key")), key.serialize_pem())?;
        Ok(())
    }

    /// Writes a kubeconfig with the client certificate `name`: `pki/NAME.kubeconfig`.
    pub(crate) fn write_kubeconfig(&self, name: &str, server: &str) -> Result<()> {
        let path = self.state.join(&format!("pki/{name}.kubeconfig"));
        write_kubeconfig(&self.state, name, server, &path)
    }
}

/// Writes a kubeconfig to `path` that refers to the files of the client certificate `name`.
pub(crate) fn write_kubeconfig(state: &StateDir, name: &str, server: &str, path: &Path) -> Result<()> {
    let config = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "lodestone",
        "clusters": [{"name": "lodestone", "cluster": {"server": server, "certificate-authority": state.join("pki/ca.crt")}}],
        "users": [{"name": name, "user": {
            "client-certificate": state.join(&format!("pki/{name}.crt")), "client-key": state.join(&format!("pki/{name}.key")),
        }}],
        "contexts": [{"name": "lodestone", "context": {"cluster": "lodestone", "user": name}}],
    });
    // Every JSON document is also YAML.
    fs::write(path, serde_json::to_vec_pretty(&config)?)?;
    Ok(())
}

//! Container images whose only file is a static binary, as archives for `ctr images import` and
//! `docker load`.

use std::{fs, io::Write, path::Path};

use anyhow::{Context, Result, bail};
use serde_json::json;
use sha2::{Digest, Sha256};

/// The tag of Lodestone's images: the version of the workspace.
pub const LODESTONE_VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));

/// The image that holds the network namespace of every pod open.
pub(crate) const PAUSE_IMAGE: &str = "localhost/pause:1";

/// An image to write.
#[derive(Clone, Debug)]
pub struct Image<'a> {
    /// The name and tag of the image.
    pub reference: &'a str,
    /// The path of the binary. In the image it is `/NAME`, and the entry point.
    pub binary: &'a Path,
}

impl Image<'_> {
    /// Writes the image to the file `out`. The same binary always results in the same bytes.
    ///
    /// # Errors
    /// When the binary is not static, or a file can't be read or written.
    pub fn write(&self, out: &Path) -> Result<()> {
        let name = self
            .binary
            .file_name()
            .and_then(|name| name.to_str())
            .context("the path of the binary has no file name")?;
        let bytes = fs::read(self.binary).with_context(|| format!("can't read {}", self.binary.display()))?;
        if needs_loader(&bytes) {
            bail!(
                "{} is linked dynamically, but the image contains no libraries",
                self.binary.display()
            );
        }
        let layer = archive(&[(name, 0o755, &bytes)])?;
        let config = json!({
            "architecture": architecture()?, "os": "linux", "config": {"Entrypoint": [format!("/{name}")]},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))]},
        });
        let config = serde_json::to_vec(&config)?;
        let config_name = format!("{}.json", digest(&config));
        let manifest = serde_json::to_vec(&json!([
            {"Config": config_name, "RepoTags": [self.reference], "Layers": ["layer.tar"]},
        ]))?;
        let image = archive(&[
            (&config_name, 0o644, &config),
            ("layer.tar", 0o644, &layer),
            ("manifest.json", 0o644, &manifest),
        ])?;
        let partial = out.with_extension("partial");
        fs::File::create(&partial)?.write_all(&image)?;
        fs::rename(&partial, out).with_context(|| format!("can't write {}", out.display()))
    }
}

fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("unsupported architecture: {other}"),
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn archive(files: &[(&str, u32, &[u8])]) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, mode, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(u64::try_from(bytes.len())?);
        header.set_mode(*mode);
        header.set_cksum();
        builder.append_data(&mut header, name, *bytes)?;
    }
    Ok(builder.into_inner()?)
}

/// Whether an ELF file needs a dynamic loader, that is, has a program header of type PT_INTERP.
fn needs_loader(elf: &[u8]) -> bool {
    const PT_INTERP: u32 = 3;
    let number = |offset: usize, size: usize| {
        let bytes = elf.get(offset..offset + size)?;
        Some(bytes.iter().rev().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let headers = || {
        let (start, size, count) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
        let types = (0..count).map(|index| number(usize::try_from(start + index * size).ok()?, 4));
        Some(types.flatten().any(|kind| kind == u64::from(PT_INTERP)))
    };
    headers().unwrap_or(false)
}

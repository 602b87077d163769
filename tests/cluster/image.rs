//! Images of containers: archives that `ctr images import` and `docker load` take, with a static binary as their only file.

use std::{fs, io::Write, path::Path};

use anyhow::{Context, Result, bail};
use serde_json::json;
use sha2::{Digest, Sha256};

/// The version of the images of Lodestone, which is that of the workspace.
pub const LODESTONE_VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));

/// What every pod's network namespace is held open by.
pub(crate) const PAUSE_IMAGE: &str = "localhost/pause:1";

/// An image to be made.
#[derive(Clone, Debug)]
pub struct Image<'a> {
    /// Its name and tag.
    pub reference: &'a str,
    /// The binary, which becomes `/NAME` and the entry point.
    pub binary: &'a Path,
}

impl Image<'_> {
    /// Writes it to the file `out`, always the same bytes for the same binary.
    ///
    /// # Errors
    /// When the binary is not static, or a file can't be read or written.
    pub fn write(&self, out: &Path) -> Result<()> {
        let name = self
            .binary
            .file_name()
            .and_then(|name| name.to_str())
            .context("a binary needs a name")?;
        let bytes = fs::read(self.binary).with_context(|| format!("can't read {}", self.binary.display()))?;
        if needs_loader(&bytes) {
            bail!(
                "{} is linked dynamically; an image has no libraries",
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
        other => bail!("no name for the architecture {other} in images"),
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

/// Whether an ELF file asks for a dynamic loader: a program header of type PT_INTERP.
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

//! The compression formats of the distributions' kernels and modules, and those that a guest's files are packed with.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const LZ4_LEGACY: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
const XZ: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The block size of the legacy lz4 format, which is the one that the kernel reads.
const LZ4_BLOCK: usize = 8 << 20;

/// Unpacks `bytes`. Bytes in none of the formats are returned unchanged.
///
/// Bytes behind the compressed data are ignored: a kernel image has its size there.
pub(super) fn unpack(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    if bytes.starts_with(&LZ4_LEGACY) {
        return unpack_lz4(&bytes[LZ4_LEGACY.len()..]);
    }
    let mut unpacked = Vec::new();
    if bytes.starts_with(&XZ) {
        lzma_rust2::XzReader::new(bytes.as_slice(), false).read_to_end(&mut unpacked)?;
    } else if bytes.starts_with(&ZSTD) {
        ruzstd::decoding::StreamingDecoder::new(bytes.as_slice()).map_err(invalid)?.read_to_end(&mut unpacked)?;
    } else if bytes.starts_with(&GZIP) {
        GzDecoder::new(bytes.as_slice()).read_to_end(&mut unpacked)?;
    } else {
        return Ok(bytes);
    }
    Ok(unpacked)
}

/// Packs `bytes` with gzip: small and slow to unpack, for files that most guests never read.
pub(super) fn pack_gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Packs `bytes` with the legacy lz4 format: quick to unpack, for files that every guest reads at boot. Four zeros mark the end
/// for the kernel.
pub(super) fn pack_lz4(bytes: &[u8]) -> Vec<u8> {
    let mut packed = LZ4_LEGACY.to_vec();
    for block in bytes.chunks(LZ4_BLOCK) {
        let block = lz4_flex::block::compress(block);
        // A block grows by less than a hundredth, far from the limits of the field.
        packed.extend_from_slice(&(block.len() as u32).to_le_bytes());
        packed.extend_from_slice(&block);
    }
    packed.extend_from_slice(&[0; 4]);
    packed
}

fn unpack_lz4(mut rest: &[u8]) -> io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    let mut block = vec![0; LZ4_BLOCK];
    while let Some((size, after)) = rest.split_first_chunk::<4>() {
        let Some((packed, after)) = after.split_at_checked(u32::from_le_bytes(*size) as usize) else { break };
        if packed.is_empty() {
            break;
        }
        let length = lz4_flex::block::decompress_into(packed, &mut block).map_err(invalid)?;
        unpacked.extend_from_slice(&block[..length]);
        rest = after;
    }
    Ok(unpacked)
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_bytes_unpack_to_the_same_whatever_follows_them() {
        let bytes: Vec<u8> = (0..20 << 20).map(|i: u32| (i / 1000) as u8).collect();
        let mut packed = pack_lz4(&bytes);
        assert!(packed.len() < bytes.len() / 10);
        packed.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        assert!(unpack(packed).unwrap() == bytes);
        assert!(unpack(pack_gzip(&bytes).unwrap()).unwrap() == bytes);
    }

    #[test]
    fn bytes_that_are_not_packed_are_unchanged() {
        assert_eq!(unpack(b"\x7fELF".to_vec()).unwrap(), b"\x7fELF");
        assert_eq!(unpack(Vec::new()).unwrap(), b"");
    }

    #[test]
    fn broken_data_is_an_error() {
        for magic in [&LZ4_LEGACY[..], &XZ, &ZSTD, &GZIP] {
            let mut bytes = magic.to_vec();
            bytes.extend_from_slice(&[9, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
            assert!(unpack(bytes).is_err(), "{magic:?}");
        }
    }
}

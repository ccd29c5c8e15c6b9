//! The compressed forms in which distributions ship kernels and modules, and those in which a guest gets its files.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const LZ4_LEGACY: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
const XZ: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The legacy lz4 format, the one that the kernel knows, cuts its input into blocks of this size.
const LZ4_BLOCK: usize = 8 << 20;

/// What `bytes` are when unpacked; bytes in none of the forms come back as they are.
///
/// What follows the compressed data is ignored: a kernel image appends the size to it.
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

/// `bytes` in the gzip format: small, and slow to unpack, for what most guests never read.
pub(super) fn pack_gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// `bytes` in the legacy lz4 format: quick to unpack, for what every guest reads at boot. Ends with the four zeros by
/// which the kernel knows that nothing more of it follows.
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
    fn what_is_packed_unpacks_to_the_same_whatever_follows() {
        let bytes: Vec<u8> = (0..20 << 20).map(|i: u32| (i / 1000) as u8).collect();
        let mut packed = pack_lz4(&bytes);
        assert!(packed.len() < bytes.len() / 10);
        packed.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        assert!(unpack(packed).unwrap() == bytes);
        assert!(unpack(pack_gzip(&bytes).unwrap()).unwrap() == bytes);
    }

    #[test]
    fn bytes_that_are_not_packed_stay() {
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

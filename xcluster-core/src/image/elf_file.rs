//! Reads ELF files: the libraries that a program needs, the description of a kernel module, the entry point of a kernel.

use elf::ElfBytes;
use elf::abi::{DT_NEEDED, DT_STRTAB, PT_INTERP, PT_LOAD, PT_NOTE};
use elf::endian::LittleEndian;
use elf::note::Note;
use elf::segment::ProgramHeader;

/// The note with the entry point of an uncompressed kernel for hypervisors (PHYS32_ENTRY of Xen's ELF notes).
const PVH_ENTRY: u64 = 18;

type File<'a> = ElfBytes<'a, LittleEndian>;

/// What the dynamic loader must find for a program or library.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// The libraries, by the names that the loader looks for.
    pub(super) libraries: Vec<String>,
    /// The loader, by its path.
    pub(super) loader: Option<String>,
}

/// Returns what the file needs: nothing if it is not an ELF file or is linked statically.
pub(super) fn needs(bytes: &[u8]) -> Needs {
    let Ok(file) = File::minimal_parse(bytes) else { return Needs::default() };
    Needs { libraries: libraries(&file).unwrap_or_default(), loader: loader(&file) }
}

fn libraries(file: &File<'_>) -> Option<Vec<String>> {
    let dynamic = file.dynamic().ok()??;
    let names = loaded_at(file, dynamic.iter().find(|entry| entry.d_tag == DT_STRTAB)?.d_ptr())?;
    let needed = dynamic.iter().filter(|entry| entry.d_tag == DT_NEEDED);
    let name = |at: u64| {
        let name = names.get(usize::try_from(at).ok()?..)?.split(|byte| *byte == 0).next()?;
        String::from_utf8(name.to_vec()).ok()
    };
    needed.map(|entry| name(entry.d_val())).collect()
}

/// Returns the bytes that are loaded at an address, to the end of their segment.
fn loaded_at<'a>(file: &File<'a>, address: u64) -> Option<&'a [u8]> {
    let holds = |segment: &ProgramHeader| {
        segment.p_type == PT_LOAD
            && address.checked_sub(segment.p_vaddr).is_some_and(|offset| offset < segment.p_filesz)
    };
    let segment = file.segments()?.iter().find(holds)?;
    file.segment_data(&segment).ok()?.get(usize::try_from(address - segment.p_vaddr).ok()?..)
}

fn loader(file: &File<'_>) -> Option<String> {
    let segment = file.segments()?.iter().find(|segment| segment.p_type == PT_INTERP)?;
    let path = file.segment_data(&segment).ok()?.split(|byte| *byte == 0).next()?;
    String::from_utf8(path.to_vec()).ok()
}

/// Returns the lines `key=value` with which a kernel module describes itself; `None` if it is not a module.
pub(super) fn modinfo(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let file = File::minimal_parse(bytes).ok()?;
    let section = file.section_header_by_name(".modinfo").ok()??;
    let (data, _) = file.section_data(&section).ok()?;
    let lines = data.split(|byte| *byte == 0).filter_map(|line| std::str::from_utf8(line).ok());
    Some(lines.filter_map(|line| line.split_once('=')).map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

/// Returns the size of the file in memory, in bytes; `None` if it is not an ELF file.
pub(super) fn memory(bytes: &[u8]) -> Option<u64> {
    let segments = File::minimal_parse(bytes).ok()?.segments()?;
    let loaded = segments.iter().filter(|segment| segment.p_type == PT_LOAD);
    Some(loaded.fold(0, |sum: u64, segment| sum.saturating_add(segment.p_memsz)))
}

/// Whether QEMU can start the file directly, without the kernel's decompressor.
pub(super) fn is_bootable(bytes: &[u8]) -> bool {
    let Ok(file) = File::minimal_parse(bytes) else { return false };
    let Some(segments) = file.segments() else { return false };
    segments.iter().filter(|segment| segment.p_type == PT_NOTE).any(|segment| {
        let Ok(mut notes) = file.segment_data_as_notes(&segment) else { return false };
        notes.any(|note| matches!(note, Note::Unknown(any) if any.n_type == PVH_ENTRY && any.name.starts_with(b"Xen")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_names_its_libraries_and_loader() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let needs = needs(&own);
        assert!(needs.libraries.iter().any(|name| name.starts_with("libc.so")), "{needs:?}");
        assert!(needs.loader.unwrap().contains("ld-"));
        assert_eq!(modinfo(&own), None);
        assert!(!is_bootable(&own));
    }

    #[test]
    fn other_files_than_elf_need_nothing() {
        assert_eq!(needs(b"#!/bin/sh\n"), Needs::default());
        assert_eq!(modinfo(b""), None);
        assert!(!is_bootable(b"\x7fELF"));
    }
}

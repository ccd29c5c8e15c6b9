//! What we want to know of an ELF file: the libraries a program needs, a module's own description, how a kernel starts.

use elf::ElfBytes;
use elf::abi::{DT_NEEDED, DT_STRTAB, PT_INTERP, PT_LOAD, PT_NOTE};
use elf::endian::LittleEndian;
use elf::note::Note;
use elf::segment::ProgramHeader;

/// The note that tells a hypervisor where an uncompressed kernel begins (Xen's ELF notes, PHYS32_ENTRY).
const PVH_ENTRY: u64 = 18;

type File<'a> = ElfBytes<'a, LittleEndian>;

/// What a program or library asks of others before it runs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// The libraries, by the names that the loader looks for.
    pub(super) libraries: Vec<String>,
    /// The loader, by its path.
    pub(super) loader: Option<String>,
}

/// What the file needs; nothing if it is no ELF file, or is linked statically.
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

/// What the file would have at an address in memory, to the end of what is loaded with it.
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

/// The lines `key=value` in which a kernel module describes itself; none if it is no module.
pub(super) fn modinfo(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let file = File::minimal_parse(bytes).ok()?;
    let section = file.section_header_by_name(".modinfo").ok()??;
    let (data, _) = file.section_data(&section).ok()?;
    let lines = data.split(|byte| *byte == 0).filter_map(|line| std::str::from_utf8(line).ok());
    Some(lines.filter_map(|line| line.split_once('=')).map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

/// What the file takes in memory, in bytes; none if it is no ELF file.
pub(super) fn memory(bytes: &[u8]) -> Option<u64> {
    let segments = File::minimal_parse(bytes).ok()?.segments()?;
    let loaded = segments.iter().filter(|segment| segment.p_type == PT_LOAD);
    Some(loaded.fold(0, |sum: u64, segment| sum.saturating_add(segment.p_memsz)))
}

/// Whether QEMU can start the file as it is, without the decompressor in front.
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
    fn what_is_no_elf_file_needs_nothing() {
        assert_eq!(needs(b"#!/bin/sh\n"), Needs::default());
        assert_eq!(modinfo(b""), None);
        assert!(!is_bootable(b"\x7fELF"));
    }
}

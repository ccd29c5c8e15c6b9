//! Selects the kernel modules of a guest with their dependencies, and writes the indexes that `modprobe` reads.

use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::compress::{pack_gzip, unpack};
use super::elf_file;
use super::initramfs::Tree;

/// The file extensions of modules, as distributions compress them.
const EXTENSIONS: &[&str] = &[".ko", ".ko.xz", ".ko.zst", ".ko.gz"];

/// One kernel module, with its own description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Module {
    /// Its path below `/lib/modules/<release>`, with the extension `.ko`.
    pub(super) path: String,
    /// The module itself, uncompressed.
    pub(super) content: Vec<u8>,
    /// The modules that must be loaded before it.
    pub(super) depends: Vec<String>,
    /// The names under which the kernel asks for it.
    pub(super) aliases: Vec<String>,
}

/// The selected modules of a kernel, with all dependencies.
#[derive(Debug, Default)]
pub(super) struct Modules {
    /// By name.
    modules: BTreeMap<String, Module>,
    /// The list of built-in modules, in the format of `modules.builtin`.
    builtin: String,
}

impl Modules {
    /// Selects modules from the folder `/lib/modules/<release>` of an unpacked kernel.
    ///
    /// An entry of `wanted` is the prefix of a path: a folder (`kernel/net/sched/`), several modules
    /// (`kernel/net/netfilter/nft_`) or one. Entries without a module are ignored: the kernel has it built in, or has none.
    pub(super) fn select(folder: &Path, wanted: &[&str]) -> io::Result<Self> {
        let files = find(folder)?;
        let mut selected = Self { modules: BTreeMap::new(), builtin: builtin(folder)? };
        let mut todo: Vec<String> =
            files.iter().filter(|(_, file)| is_wanted(&file.path, wanted)).map(|(name, _)| name.clone()).collect();
        while let Some(name) = todo.pop() {
            let Some(file) = files.get(&name) else { continue };
            if let Slot::Vacant(slot) = selected.modules.entry(name) {
                let module = slot.insert(file.read()?);
                todo.extend(module.depends.iter().cloned());
            }
        }
        Ok(selected)
    }

    /// Returns the named modules and their dependencies, each module after those that it needs.
    pub(super) fn load_order(&self, names: &[&str]) -> Vec<&str> {
        let (mut order, mut seen) = (Vec::new(), BTreeSet::new());
        for name in names {
            self.visit(name, &mut order, &mut seen);
        }
        order
    }

    fn visit<'a>(&'a self, name: &str, order: &mut Vec<&'a str>, seen: &mut BTreeSet<&'a str>) {
        let Some((name, module)) = self.modules.get_key_value(name) else { return };
        if seen.insert(name) {
            for depended in &module.depends {
                self.visit(depended, order, seen);
            }
            order.push(name);
        }
    }

    /// Puts the modules and their indexes into the tree of a guest.
    ///
    /// Modules in `plain` are loaded at every boot and stay uncompressed. The others are compressed, because they take memory
    /// of the guest and most guests never load them.
    pub(super) fn put_into(&self, tree: &mut Tree, release: &str, plain: &[&str]) -> io::Result<()> {
        let root = format!("lib/modules/{release}");
        let plain: BTreeSet<&str> = self.load_order(plain).into_iter().collect();
        let file = |name: &str, module: &Module| match plain.contains(name) {
            true => module.path.clone(),
            false => format!("{}.gz", module.path),
        };
        let (mut dep, mut alias) = (String::new(), String::new());
        for (name, module) in &self.modules {
            let path = file(name, module);
            let content =
                if plain.contains(name.as_str()) { module.content.clone() } else { pack_gzip(&module.content)? };
            tree.file(&format!("{root}/{path}"), 0o644, content);

            // `modprobe` loads the modules from the end of the line to its begin.
            let needed = self.load_order(&[name]).into_iter().rev().skip(1);
            let needed = needed.filter_map(|name| Some(file(name, self.modules.get(name)?)));
            let _ = writeln!(dep, "{path}:{}", needed.fold(String::new(), |line, path| line + " " + &path));
            for pattern in &module.aliases {
                let _ = writeln!(alias, "alias {pattern} {name}");
            }
        }
        tree.file(&format!("{root}/modules.dep"), 0o644, dep);
        tree.file(&format!("{root}/modules.alias"), 0o644, alias);
        tree.file(&format!("{root}/modules.builtin"), 0o644, self.builtin.as_str());
        Ok(())
    }
}

/// The file of a module on this host.
struct File {
    path: String,
    on_host: PathBuf,
}

impl File {
    fn read(&self) -> io::Result<Module> {
        let content = unpack(fs::read(&self.on_host)?)?;
        let broken = || io::Error::new(io::ErrorKind::InvalidData, format!("{} is not a kernel module", self.path));
        let info = elf_file::modinfo(&content).ok_or_else(broken)?;
        let values = |key: &'static str| info.iter().filter(move |(k, _)| k == key).map(|(_, value)| value.as_str());
        let soft = values("softdep").filter_map(|line| line.split_once("pre:")?.1.split("post:").next());
        let hard = values("depends").flat_map(|list| list.split(','));
        let depends = hard.chain(soft.flat_map(str::split_whitespace)).filter(|name| !name.is_empty()).map(canonical);
        Ok(Module {
            path: self.path.clone(),
            depends: depends.collect(),
            aliases: values("alias").map(str::to_owned).collect(),
            content,
        })
    }
}

/// Returns the kernel's form of a module name: `-` and `_` mean the same.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

fn is_wanted(path: &str, wanted: &[&str]) -> bool {
    wanted.iter().any(|begin| path.starts_with(begin))
}

/// Returns every module below the folder, by name.
fn find(folder: &Path) -> io::Result<BTreeMap<String, File>> {
    let mut files = BTreeMap::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(path) = todo.pop() {
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                todo.push(entry.path());
            } else if let Some((name, file)) = module_at(folder, entry.path()) {
                files.insert(name, file);
            }
        }
    }
    Ok(files)
}

fn module_at(folder: &Path, on_host: PathBuf) -> Option<(String, File)> {
    let relative = on_host.strip_prefix(folder).ok()?.to_str()?;
    let path = EXTENSIONS.iter().find_map(|extension| relative.strip_suffix(extension))?;
    let name = canonical(path.rsplit('/').next()?);
    Some((name, File { path: format!("{path}.ko"), on_host }))
}

/// Reads the list of built-in modules. It tells `modprobe` that it has nothing to load.
fn builtin(folder: &Path) -> io::Result<String> {
    match fs::read_to_string(folder.join("modules.builtin")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::initramfs::Node;

    /// The smallest ELF file with a section `.modinfo`.
    fn module(info: &[&str]) -> Vec<u8> {
        const NAMES: &[u8] = b"\0.modinfo\0.shstrtab\0\0\0\0";
        let info = info.join("\0") + "\0";
        let mut elf = vec![0; 64];
        elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        elf[16] = 1; // relocatable
        elf[18] = 62; // x86-64
        elf[20] = 1;
        elf[40] = 64; // where the sections are described
        elf[52] = 64;
        elf[58] = 64;
        elf[60] = 3; // how many there are
        elf[62] = 2; // which one has their names
        let data = 64 + 3 * 64;
        for (name, kind, at, size) in [(0, 0, 0, 0), (1, 1, data + NAMES.len(), info.len()), (10, 3, data, NAMES.len())]
        {
            let mut section = [0; 64];
            section[0] = name;
            section[4] = kind;
            section[24..32].copy_from_slice(&(at as u64).to_le_bytes());
            section[32..40].copy_from_slice(&(size as u64).to_le_bytes());
            elf.extend_from_slice(&section);
        }
        elf.extend_from_slice(NAMES);
        elf.extend_from_slice(info.as_bytes());
        elf
    }

    /// A kernel with the modules of a bridge that filters, and one that is not selected.
    fn kernel() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, info) in [
            ("kernel/net/llc/llc.ko", &["license=GPL"][..]),
            ("kernel/net/802/stp.ko", &["depends=llc"]),
            ("kernel/net/bridge/bridge.ko", &["alias=rtnl-link-bridge", "depends=stp,llc"]),
            ("kernel/net/bridge/br-filter.ko", &["depends=bridge", "softdep=pre: crc32c-x post: later"]),
            ("kernel/lib/crc32c_x.ko", &[]),
            ("kernel/fs/odd.ko", &["depends=missing"]),
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, module(info)).unwrap();
        }
        fs::write(folder.path().join("modules.builtin"), "kernel/fs/ext4/ext4.ko\n").unwrap();
        folder
    }

    #[test]
    fn a_module_comes_after_what_it_depends_on() {
        let modules = Modules::select(kernel().path(), &["kernel/net/bridge/"]).unwrap();
        assert_eq!(modules.load_order(&["br_filter"]), ["llc", "stp", "bridge", "crc32c_x", "br_filter"]);
        assert_eq!(modules.load_order(&["nobody_knows"]), [""; 0]);
    }

    #[test]
    fn the_indexes_are_those_that_modprobe_reads() {
        let modules = Modules::select(kernel().path(), &["kernel/net/bridge/", "kernel/fs/odd"]).unwrap();
        let mut tree = Tree::default();
        modules.put_into(&mut tree, "6.1", &["stp"]).unwrap();
        let text = |path: &str| match tree.at(path) {
            Some(Node::File { content, .. }) => String::from_utf8(content.clone()).unwrap(),
            other => panic!("{path}: {other:?}"),
        };
        let expected = "\
kernel/net/bridge/br-filter.ko.gz: kernel/lib/crc32c_x.ko.gz kernel/net/bridge/bridge.ko.gz kernel/net/802/stp.ko \
kernel/net/llc/llc.ko
kernel/net/bridge/bridge.ko.gz: kernel/net/802/stp.ko kernel/net/llc/llc.ko
kernel/lib/crc32c_x.ko.gz:
kernel/net/llc/llc.ko:
kernel/fs/odd.ko.gz:
kernel/net/802/stp.ko: kernel/net/llc/llc.ko
";
        assert_eq!(text("lib/modules/6.1/modules.dep"), expected);
        assert_eq!(text("lib/modules/6.1/modules.alias"), "alias rtnl-link-bridge bridge\n");
        assert_eq!(text("lib/modules/6.1/modules.builtin"), "kernel/fs/ext4/ext4.ko\n");
        assert!(tree.at("lib/modules/6.1/kernel/net/802/stp.ko").is_some());
    }

    #[test]
    fn a_broken_module_is_named() {
        let folder = kernel();
        fs::write(folder.path().join("kernel/fs/odd.ko"), "nonsense").unwrap();
        let error = Modules::select(folder.path(), &["kernel/fs/odd"]).unwrap_err();
        assert_eq!(error.to_string(), "kernel/fs/odd.ko is not a kernel module");
    }
}

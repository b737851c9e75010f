//! Which file of a crate names what of which other file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// A path from the crate's root, without `crate`.
type Names = Vec<String>;

/// An import: who names something of whom, both as paths from `src` without `.rs` or `/mod.rs`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// The file that names it.
    pub from: String,
    /// The file where it is, or that passes it on.
    pub to: String,
    /// The path, as it is written.
    pub path: String,
}

/// A module: a file's, or one within a file.
#[derive(Debug, Default)]
struct Module {
    file: String,
    /// What `use` brings in, by the name it has here.
    aliases: BTreeMap<String, Names>,
    /// Modules whose names all come in, by `use path::*`.
    globs: Vec<Names>,
    /// What is declared here itself.
    items: BTreeSet<String>,
    /// All paths that are written here.
    paths: BTreeSet<Names>,
}

/// A crate's modules.
#[derive(Debug, Default)]
pub struct Source {
    modules: BTreeMap<Names, Module>,
    /// Functions that are called by their names alone.
    pub exported: BTreeSet<String>,
}

impl Source {
    /// Reads all of a folder `src` but its tests.
    pub fn read(src: &Path) -> Result<Self> {
        let mut source = Self::default();
        source.read_folder(src, src)?;
        Ok(source)
    }

    fn read_folder(&mut self, src: &Path, folder: &Path) -> Result<()> {
        for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            let is_rust = path.extension().is_some_and(|extension| extension == "rs");
            if path.is_dir() {
                self.read_folder(src, &path)?;
            // Tests may name whatever they test.
            } else if is_rust && path.file_stem().is_some_and(|stem| stem != "tests") {
                let text = fs::read_to_string(&path)?;
                let name = path.strip_prefix(src)?.with_extension("");
                let name = name.to_string_lossy();
                self.add(&name, &text).with_context(|| format!("cannot read {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// Adds a file, by its path from `src` without `.rs`.
    pub fn add(&mut self, file: &str, text: &str) -> Result<()> {
        // Both ways of naming a module's file give the same module.
        let file = file.strip_suffix("/mod").unwrap_or(file);
        let names: Names = match file {
            // The crate's root has no name of its own.
            "lib" => Names::new(),
            _ => file.split('/').map(str::to_owned).collect(),
        };
        let syntax = syn::parse_file(text)?;
        let mut reader = Reader { source: self, file, at: names };
        reader.enter();
        reader.visit_file(&syntax);
        Ok(())
    }

    /// All files.
    pub fn files(&self) -> BTreeSet<&str> {
        self.modules.values().map(|module| module.file.as_str()).collect()
    }

    /// All imports from one file to another.
    pub fn imports(&self) -> BTreeSet<Import> {
        let mut imports = BTreeSet::new();
        for (at, module) in &self.modules {
            for path in &module.paths {
                for to in self.files_of(at, path) {
                    // What a file names of itself is no import.
                    if to != module.file {
                        imports.insert(Import { from: module.file.clone(), to, path: path.join("::") });
                    }
                }
            }
        }
        imports
    }

    /// The files that a path leads through: those that pass it on, and the one where it ends. None for what
    /// is another crate's.
    fn files_of(&self, at: &Names, path: &Names) -> BTreeSet<String> {
        let mut files = BTreeSet::new();
        self.follow(at, path, &mut files, 0);
        files
    }

    fn follow(&self, at: &Names, path: &[String], files: &mut BTreeSet<String>, depth: usize) -> bool {
        let mut module = at.clone();
        let mut rest = path;
        let mut is_first = true;
        while let [name, behind @ ..] = rest {
            match name.as_str() {
                "crate" => module.clear(),
                "super" => {
                    module.pop();
                }
                "self" => {}
                _ => {
                    // A module, or else the path has left modules: what follows is an item, or came in by
                    // `use`.
                    let child: Names = module.iter().chain([name]).cloned().collect();
                    if !self.modules.contains_key(&child) {
                        return self.leave(&module, rest, files, (is_first, depth));
                    }
                    module = child;
                }
            }
            (rest, is_first) = (behind, false);
        }
        // Modules to the end: it is the last of them that is named.
        files.extend(self.modules.get(&module).map(|module| module.file.clone()));
        true
    }

    /// The rest of a path, whose first name is no module within `at`: brought in there, declared there, or of
    /// another crate.
    fn leave(
        &self,
        at: &Names,
        rest: &[String],
        files: &mut BTreeSet<String>,
        (is_first, depth): (bool, usize),
    ) -> bool {
        let (Some(module), [name, behind @ ..]) = (self.modules.get(at), rest) else { return false };
        // Names that pass each other on in a circle would have no end.
        if depth > 8 {
            return false;
        }
        if let Some(alias) = module.aliases.get(name) {
            // A `use` begins in its module, or with a crate's name, which no module has.
            let full: Names = alias.iter().chain(behind).cloned().collect();
            // A crate's name that is brought in by itself: following it would come back to here.
            if alias.first() == Some(name) && is_first {
                return false;
            }
            let found = self.follow(at, &full, files, depth + 1);
            // A file that passes a name on is depended on as well as the one that has it.
            if found && !is_first {
                files.insert(module.file.clone());
            }
            return found;
        }
        // A name alone that is not declared here is another crate's, or the language's.
        if module.items.contains(name) || !is_first {
            if !module.items.contains(name) {
                // Behind a module's name: what is not declared there can only have come in by `*`.
                for glob in &module.globs {
                    let full: Names = glob.iter().chain(rest).cloned().collect();
                    if self.follow(at, &full, files, depth + 1) {
                        break;
                    }
                }
            }
            files.insert(module.file.clone());
            return true;
        }
        false
    }
}

/// Reads a file's modules.
struct Reader<'a> {
    source: &'a mut Source,
    file: &'a str,
    at: Names,
}

impl Reader<'_> {
    fn enter(&mut self) {
        let module = Module { file: self.file.to_owned(), ..Module::default() };
        self.source.modules.entry(self.at.clone()).or_insert(module);
    }

    fn module(&mut self) -> &mut Module {
        self.source.modules.entry(self.at.clone()).or_default()
    }

    fn add_use(&mut self, before: &Names, tree: &syn::UseTree) {
        let with = |name: &syn::Ident| before.iter().cloned().chain([name.to_string()]).collect::<Names>();
        match tree {
            syn::UseTree::Path(path) => self.add_use(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) if name.ident == "self" => {
                if let Some(last) = before.last() {
                    self.bring_in(last.clone(), before.clone());
                }
            }
            syn::UseTree::Name(name) => self.bring_in(name.ident.to_string(), with(&name.ident)),
            syn::UseTree::Rename(name) => self.bring_in(name.rename.to_string(), with(&name.ident)),
            // Which names it brings in shows when one of them is looked for.
            syn::UseTree::Glob(_) => {
                self.module().globs.push(before.clone());
                self.module().paths.insert(before.clone());
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_use(before, tree)),
        }
    }

    fn bring_in(&mut self, name: String, path: Names) {
        self.module().paths.insert(path.clone());
        // In two branches, by `cfg`, the first one counts.
        self.module().aliases.entry(name).or_insert(path);
    }

    /// Paths in a macro's input, which are not parsed.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path = Names::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    // A name that does not follow `::` begins another path.
                    if colons != 2 {
                        self.add_path(&mut path);
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => colons += 1,
                TokenTree::Group(group) => {
                    self.add_path(&mut path);
                    self.add_tokens(group.stream());
                }
                _ => self.add_path(&mut path),
            }
        }
        self.add_path(&mut path);
    }

    fn add_path(&mut self, path: &mut Names) {
        let path = std::mem::take(path);
        // A name alone is a local one, or came in by `use`, which is seen there.
        if path.len() > 1 {
            self.module().paths.insert(path);
        }
    }

    fn declare(&mut self, item: &syn::Item) {
        let name = match item {
            syn::Item::Const(item) => &item.ident,
            syn::Item::Enum(item) => &item.ident,
            syn::Item::Fn(item) => &item.sig.ident,
            syn::Item::Static(item) => &item.ident,
            syn::Item::Struct(item) => &item.ident,
            syn::Item::Trait(item) => &item.ident,
            syn::Item::Type(item) => &item.ident,
            syn::Item::Union(item) => &item.ident,
            // Modules and imports are read elsewhere, and nothing else has a name that a path could have.
            _ => return,
        };
        let name = name.to_string();
        self.module().items.insert(name);
    }
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            // Just this: what is for tests or something else is the crate's as well.
            && attribute.parse_args::<syn::Path>().is_ok_and(|what| what.is_ident("test"))
    })
}

fn is_exported(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        // By itself, or within `unsafe(…)`.
        let is_named = |path: &syn::Path| path.is_ident("no_mangle") || path.is_ident("export_name");
        is_named(attribute.path()) || attribute.parse_args::<syn::Path>().is_ok_and(|path| is_named(&path))
    })
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        self.declare(item);
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        // A module in a file of its own is read there.
        if is_for_tests(&item.attrs) || item.content.is_none() {
            return;
        }
        self.at.push(item.ident.to_string());
        self.enter();
        visit::visit_item_mod(self, item);
        self.at.pop();
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if is_exported(&item.attrs) {
            self.source.exported.insert(item.sig.ident.to_string());
        }
        visit::visit_item_fn(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_use(&Names::new(), &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add_path(&mut names);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.add_tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }
}

//! Recipes with `pages`: what they become, and each mistake with its field.

use std::path::PathBuf;

use crate::inspect::Report;
use crate::inspect::snp::SnpInspection;
use crate::recipe::RecipeError;
use crate::recipe::pages::LoadedPages;
use crate::snp::id_block::tests::pem;
use crate::snp::reader::SnpFile;

const RECIPE: &str = r#"{
  "platforms": ["snp"],
  "pages": [
    { "elf": "program" },
    { "gpa": "0x00200800", "text": "hello" },
    { "gpa": "0x00300000", "bytes": "8K", "kind": "unmeasured" },
    { "gpa": "0x00400000", "kind": "cpuid" },
    { "gpa": "0x00401000", "kind": "secrets" }
  ],
  "parameters": [{ "gpa": "0x00500000", "bytes": "8K", "contents": "memory-map" }],
  "required": [{ "gpa": "0x00600000", "bytes": "1M" }],
  "start": { "mode": "protected", "rip": "0x00100000", "rsp": "0x00302000" },
  "snp": { "policy": "0x30000" }
}"#;

/// A program with one segment of 5000 bytes, three of them in the file, at 100000h.
fn program() -> Vec<u8> {
    let base = 0x10_0000u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    file.extend([base, 64, 0].iter().flat_map(|field| field.to_le_bytes()));
    file.extend(0u32.to_le_bytes());
    file.extend([64u16, 56, 1, 64, 0, 0].iter().flat_map(|field| field.to_le_bytes()));
    file.extend([1u32, 5].iter().flat_map(|field| field.to_le_bytes()));
    file.extend([0x1000, base, base, 3, 5000, 0x1000].iter().flat_map(|field: &u64| field.to_le_bytes()));
    file.resize(0x1000, 0);
    file.extend([1, 2, 3]);
    file
}

fn folder(test: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("plinth-pages-{}-{test}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("program"), program()).unwrap();
    std::fs::write(folder.join("text"), "text").unwrap();
    std::fs::write(folder.join("id.pem"), pem(5)).unwrap();
    std::fs::write(folder.join("author.pem"), pem(6)).unwrap();
    folder
}

fn build(test: &str, recipe: &str) -> Result<Vec<u8>, RecipeError> {
    let folder = folder(test);
    let path = folder.join("recipe.json");
    std::fs::write(&path, recipe).unwrap();
    assert!(LoadedPages::is_meant(recipe) || recipe.is_empty());
    let built = LoadedPages::read(&path, &[]).and_then(|loaded| loaded.build());
    std::fs::remove_dir_all(&folder).unwrap();
    built
}

fn inspected(bytes: &[u8]) -> SnpInspection {
    SnpInspection::new(&SnpFile::parse(bytes).unwrap())
}

fn with(from: &str, to: &str) -> String {
    assert!(RECIPE.contains(from), "{from}");
    RECIPE.replacen(from, to, 1)
}

#[test]
fn a_recipe() {
    let bytes = build("a_recipe", RECIPE).unwrap();
    assert_eq!(bytes, build("a_recipe", RECIPE).unwrap());
    let inspection = inspected(&bytes);
    let runs: Vec<_> =
        inspection.pages.iter().map(|run| (run.gpa, run.pages, run.data_pages, run.kind)).collect();
    assert_eq!(
        runs,
        [
            (0x10_0000, 2, 1, "measured"),
            (0x20_0000, 1, 1, "measured"),
            (0x30_0000, 2, 0, "unmeasured"),
            (0x40_0000, 1, 0, "cpuid"),
            (0x40_1000, 1, 0, "secrets"),
        ]
    );
    assert_eq!((inspection.contexts[0].rip, inspection.contexts[0].rsp), (0x10_0000, 0x30_2000));
    assert_eq!(inspection.parameters[0].contents, ["memory map"]);
    assert_eq!(inspection.required_memory[0].bytes, 1 << 20);
}

#[test]
fn a_signed_recipe() {
    let snp = "\"snp\": { \"id_key\": \"id.pem\", \"author_key\": \"author.pem\", \"vcpus\": 2, \
               \"vcpu_type\": \"EPYC-Milan\", \"family_id\": \"plinth\", \"guest_svn\": 7 }";
    let bytes = build("a_signed_recipe", &with("\"snp\": { \"policy\": \"0x30000\" }", snp)).unwrap();
    let block = inspected(&bytes).id_block.unwrap();
    assert_eq!((&*block.signatures, block.guest_svn), ("valid", 7));
    assert!(block.family_id.starts_with("706c696e7468") && block.author_key_digest.is_some());
}

#[test]
fn a_recipe_for_both_platforms() {
    let both = with("[\"snp\"]", "[\"native\", \"snp\"]");
    let start = "\"mode\": \"protected\", \"rip\": \"0x00100000\"";
    let long = "\"mode\": \"long\", \"cr3\": \"0x00100000\", \"rip\": \"0xffffffff80000000\"";
    let bytes = build("both", &both.replacen(start, long, 1)).unwrap();
    let report = Report::new(&bytes).unwrap();
    assert_eq!(report.native.unwrap().pages.len(), 3);
    assert_eq!(report.snp.unwrap().pages.len(), 5);
}

#[test]
fn mistakes() {
    let snp = |entry: &str| with("{ \"policy\": \"0x30000\" }", entry);
    let page = |entry: &str| with("{ \"elf\": \"program\" }", entry);
    let cases = [
        (with("[\"snp\"]", "[]"), "platforms", "native, snp, or both"),
        (with("[\"snp\"]", "[\"snp\", \"snp\"]"), "platforms", "native, snp, or both"),
        (with("[\"snp\"]", "[\"native\"]"), "snp", "if and only if"),
        (with("[\"snp\"]", "[\"native\", \"snp\"]"), "start", "mode long alone"),
        (with("[\"snp\"]", "[\"tdx\"]"), "platforms[0]", "unknown variant"),
        (with("\"rip\": \"0x00100000\", ", ""), "start", "register rip"),
        (with("\"mode\": \"protected\"", "\"mode\": \"real\""), "start.mode", "unknown variant"),
        (with("\"memory-map\"", "\"madt\""), "parameters[0].contents", "unknown variant"),
        (with("\"bytes\": \"8K\", \"contents\"", "\"bytes\": 5, \"contents\""), "parameters", "whole pages"),
        (with("\"bytes\": \"1M\"", "\"bytes\": 0"), "required", "whole pages"),
        (with("\"0x00500000\"", "\"0x00401000\""), "pages", "claim 0x401000"),
        (page("{ \"gpa\": \"0x00200fff\", \"text\": \"x\" }"), "pages", "claim 0x200000"),
        (page("{ \"elf\": \"nowhere\" }"), "pages", "no file nowhere"),
        (page("{ \"elf\": \"text\" }"), "pages", "not a readable ELF64"),
        (page("{ \"elf\": \"program\", \"gpa\": 0 }"), "pages", "an entry is"),
        (page("{ \"elf\": \"program\", \"kind\": \"cpuid\" }"), "pages", "an entry is"),
        (page("{ \"gpa\": 0, \"bytes\": 1, \"kind\": \"secrets\" }"), "pages", "an entry is"),
        (page("{}"), "pages", "an entry is"),
        (page("{ \"gpa\": 0, \"text\": \"x\", \"file\": \"text\" }"), "pages", "not both"),
        (page("{ \"gpa\": 0, \"text\": \"xyz\", \"bytes\": 2 }"), "pages", "fewer bytes"),
        (page("{ \"gpa\": 0, \"bytes\": \"2G\" }"), "pages", "more than an entry"),
        (page("{ \"gpa\": \"0xfffffffffffff000\", \"bytes\": 1 }"), "pages", "more than an entry"),
        (snp("{ \"policy\": \"0x10000\" }"), "snp.policy", "bit 17"),
        (snp("{ \"policy\": \"0x4020000\" }"), "snp.policy", "bit 26"),
        (snp("{ \"vcpus\": 1 }"), "snp", "without id_key"),
        (snp("{ \"id_key\": \"text\" }"), "snp.id_key", "no private key"),
        (snp("{ \"id_key\": \"id.pem\", \"vcpus\": 2 }"), "snp.vcpus", "need a vcpu_type"),
        (snp("{ \"id_key\": \"id.pem\", \"vcpus\": 0, \"vcpu_type\": \"EPYC\" }"), "snp", "QEMU refuses"),
        (snp("{ \"id_key\": \"id.pem\", \"vcpu_type\": \"486\" }"), "snp.vcpu_type", "EPYC-Milan"),
        (snp("{ \"image_id\": \"seventeen letters\" }"), "snp.image_id", "16 bytes"),
    ];
    for (recipe, field, message) in cases {
        let error = build("mistakes", &recipe).unwrap_err();
        let (_, found) = error.place.split_once(": ").unwrap_or_default();
        assert_eq!(found, field, "{error}");
        assert!(error.message.contains(message), "{error} does not say {message:?}");
    }
}

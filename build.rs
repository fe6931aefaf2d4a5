//! Builds again when a built-in template changes: the macro that embeds them does not notice.

fn main() {
    println!("cargo:rerun-if-changed=templates");
    println!("cargo:rerun-if-changed=src/plan/samples");
    println!("cargo:rerun-if-changed=build.rs");
}

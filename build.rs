//! Builds again when a built-in template changes: the macro that embeds them does not notice.

#[expect(
    clippy::print_stdout,
    reason = "this is how a build script speaks to cargo"
)]
fn main() {
    println!("cargo:rerun-if-changed=templates");
    println!("cargo:rerun-if-changed=src/plan/samples");
    println!("cargo:rerun-if-changed=build.rs");
}

//! docker-compose.yml, its image and its variables, checked as text: Docker is not needed.

use crate::judge::judge;
use crate::parts::root;
use crate::sluice::Lake;

#[test]
fn the_compose_file_keeps_its_promises() {
    judge("compose.py", &Lake::on_disk(), &[root().join("docker-compose.yml").to_str().unwrap()]);
}

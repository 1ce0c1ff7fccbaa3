//! `man/castctl-archive.7` says what the code does: which stores there are, the size of parts, the
//! name of the checksum.

use crate::store::open::{Access, is_url, open};
use crate::store::port::SUM_NAME;
use crate::store::upload::PART_BYTES;

const MANUAL: &str = include_str!("../../man/castctl-archive.7");

#[test]
fn the_stores_are_the_codes_and_their_variables_are_known() {
    let head = ".\\\" table stores";
    let lines = MANUAL.lines().skip_while(|l| *l != head).skip(1).take_while(|l| *l != ".\\\" end");
    let urls: Vec<&str> = lines.filter_map(|l| l.split_whitespace().next()).collect();
    assert_eq!(urls.len(), 4, "{urls:?}");
    for url in urls {
        assert!(is_url(url), "{url}");
        // Azure wants to know whose container it is.
        let account = [("AZURE_STORAGE_ACCOUNT_NAME".to_owned(), "account".to_owned())];
        open(&url.to_lowercase(), &Access::from_iter(account)).expect(url);
    }
}

#[test]
fn the_size_of_parts_and_the_checksums_name_are_the_codes() {
    assert_eq!(PART_BYTES, 8 << 20);
    assert!(MANUAL.contains("Up to 8 MiB go in one request"));
    assert!(MANUAL.contains("in parts of 8 MiB"));
    assert!(MANUAL.contains(&format!(".BR {SUM_NAME} ;")), "{SUM_NAME}");
}

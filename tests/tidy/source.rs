//! One source file as the law sees it: its text, its code with comments and literals blanked out,
//! which lines are tests, and every path it names. A scanner good enough for rustfmt's output; not
//! a parser of Rust.

/// A file of the package.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the package, with `/`.
    pub(crate) file: String,
    /// Module path: `log/format/record`; `lib` for the root, `bin` for a binary.
    pub(crate) module: String,
    /// Everything in it is test code (reached by a `mod` under `#[cfg(test)]`, or under `tests/`).
    pub(crate) test: bool,
    /// As written.
    pub(crate) text: String,
    /// As long as `text`, byte for byte; comments and the inside of literals are spaces.
    pub(crate) code: String,
    /// Byte ranges of `code` under `#[cfg(test)]`.
    tests: Vec<(usize, usize)>,
}

/// A path that the code names: `crate::log::format::Record`, `tokio`, `self`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Byte offset of its start in the code.
    pub(crate) at: usize,
    /// Its segments.
    pub(crate) path: Vec<String>,
    /// It ends in `::*`.
    pub(crate) glob: bool,
}

impl Source {
    /// Reads `text` as the file `file` that is the module `module`.
    pub(crate) fn new(file: &str, module: &str, test: bool, text: &str) -> Source {
        let code = blank(text);
        let tests = test_ranges(&code);
        Source { file: file.into(), module: module.into(), test, text: text.into(), code, tests }
    }

    /// Line number, from 1, of a byte offset.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.code[..at].bytes().filter(|b| *b == b'\n').count() + 1
    }

    /// Is the code at this offset compiled for tests only?
    pub(crate) fn is_test(&self, at: usize) -> bool {
        self.test || self.tests.iter().any(|(from, to)| (*from..*to).contains(&at))
    }

    /// Number of lines outside tests.
    pub(crate) fn production_lines(&self) -> usize {
        if self.test {
            return 0;
        }
        let of = |(from, to): &(usize, usize)| self.line(*to) - self.line(*from) + 1;
        self.text.lines().count() - self.tests.iter().map(of).sum::<usize>()
    }

    /// Every path named in the code, `use` trees expanded to one path a leaf.
    pub(crate) fn paths(&self) -> Vec<Named> {
        let mut out = Vec::new();
        let mut at = 0;
        while let Some(start) = next_ident(&self.code, at) {
            let end = ident_end(&self.code, start);
            // `impl Trait + use<..>` captures lifetimes and imports nothing.
            let captures = self.code[end..].starts_with('<');
            if &self.code[start..end] == "use" && !captures {
                let stop = self.code[end..].find(';').map_or(self.code.len(), |n| end + n);
                expand(&self.code, end, stop, &[], &mut out);
                at = stop;
            } else {
                at = read_path(&self.code, start, &mut out);
            }
        }
        out
    }
}

fn is_ident(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

fn next_ident(code: &str, from: usize) -> Option<usize> {
    let b = code.as_bytes();
    let mut i = from;
    while i < b.len() {
        if is_ident(b[i]) {
            if !b[i].is_ascii_digit() {
                return Some(i);
            }
            i = ident_end(code, i);
        } else {
            i += 1;
        }
    }
    None
}

fn ident_end(code: &str, from: usize) -> usize {
    from + code.as_bytes()[from..].iter().take_while(|b| is_ident(**b)).count()
}

/// Reads `a::b::c` at `start`; returns where to go on.
fn read_path(code: &str, start: usize, out: &mut Vec<Named>) -> usize {
    let mut end = ident_end(code, start);
    let mut path = vec![code[start..end].to_owned()];
    while code[end..].starts_with("::") && next_ident(code, end + 2) == Some(end + 2) {
        let next = ident_end(code, end + 2);
        path.push(code[end + 2..next].to_owned());
        end = next;
    }
    out.push(Named { at: start, path, glob: false });
    end
}

/// Expands the `use` tree in `code[from..to]` below `prefix`.
fn expand(code: &str, from: usize, to: usize, prefix: &[String], out: &mut Vec<Named>) {
    let start = from + code[from..to].len() - code[from..to].trim_start().len();
    let body = code[start..to].trim_end();
    let Some(open) = body.find('{') else {
        let plain = body.split(" as ").next().unwrap_or(body);
        let parts = plain.split("::").map(str::trim).filter(|s| !s.is_empty());
        let mut path: Vec<String> = prefix.iter().cloned().chain(parts.map(String::from)).collect();
        let glob = path.last().is_some_and(|s| s == "*");
        if glob {
            path.pop();
        }
        if !path.is_empty() {
            out.push(Named { at: start, path, glob });
        }
        return;
    };
    let head = body[..open].split("::").map(str::trim).filter(|s| !s.is_empty());
    let prefix: Vec<String> = prefix.iter().cloned().chain(head.map(String::from)).collect();
    let close = start + body.rfind('}').unwrap_or(body.len());
    let (mut depth, mut item) = (0, start + open + 1);
    for (i, b) in code.bytes().enumerate().take(close).skip(start + open + 1) {
        match b {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                expand(code, item, i, &prefix, out);
                item = i + 1;
            }
            _ => {}
        }
    }
    expand(code, item, close, &prefix, out);
}

/// The offset after the bracket that closes the one at `open`.
pub(crate) fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0i32;
    for (i, b) in code.bytes().enumerate().skip(open) {
        match b {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return i + 1;
        }
    }
    code.len()
}

/// The end of the item that starts at `from`: after its `;`, or after its block.
pub(crate) fn item_end(code: &str, from: usize) -> usize {
    let mut i = from;
    while i < code.len() {
        match code.as_bytes()[i] {
            b'{' => return closing(code, i),
            b';' => return i + 1,
            b'(' | b'[' => i = closing(code, i),
            _ => i += 1,
        }
    }
    code.len()
}

fn test_ranges(code: &str) -> Vec<(usize, usize)> {
    let mut out: Vec<(usize, usize)> = Vec::new();
    for (at, _) in code.match_indices("#[cfg(") {
        let inside = &code[at..closing(code, at + 1)];
        let for_tests = inside.starts_with("#[cfg(test") || inside.starts_with("#[cfg(all(test");
        if for_tests && out.last().is_none_or(|last| last.1 <= at) {
            out.push((at, item_end(code, at)));
        }
    }
    out
}

/// Blanks comments and the inside of string and character literals, keeping offsets and line ends.
pub(crate) fn blank(text: &str) -> String {
    let b = text.as_bytes();
    let mut out = b.to_vec();
    let mut i = 0;
    while i < b.len() {
        let end = literal_end(b, i);
        if end > i {
            // The quotes and comment marks go too: nothing in the code depends on them.
            out[i..end].iter_mut().filter(|c| **c != b'\n').for_each(|c| *c = b' ');
            i = end;
        } else if is_ident(b[i]) {
            i = ident_end(text, i);
        } else {
            i += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The end of the comment or literal that starts at `i`; `i` itself when none does.
fn literal_end(b: &[u8], i: usize) -> usize {
    let rest = &b[i..];
    let found = |n: Option<usize>, len: usize| n.map_or(b.len(), |n| i + n + len);
    if rest.starts_with(b"//") {
        return found(rest.iter().position(|c| *c == b'\n'), 0);
    }
    if rest.starts_with(b"/*") {
        return comment_end(b, i);
    }
    let prefix = rest.iter().take_while(|c| matches!(**c, b'b' | b'r' | b'c')).count().min(2);
    let hashes = rest[prefix..].iter().take_while(|c| **c == b'#').count();
    let raw = rest[..prefix].contains(&b'r');
    if raw && rest.get(prefix + hashes) == Some(&b'"') {
        let close: Vec<u8> = std::iter::once(b'"').chain(vec![b'#'; hashes]).collect();
        let body = &rest[prefix + hashes + 1..];
        let n = body.windows(close.len()).position(|w| w == close);
        return found(n, prefix + hashes + 1 + close.len());
    }
    match rest.get(prefix) {
        Some(b'"') => quoted_end(b, i + prefix, b'"'),
        // A lifetime is no literal: a character closes after one character or an escape.
        Some(b'\'') if rest.get(prefix + 1) == Some(&b'\\') => quoted_end(b, i + prefix, b'\''),
        Some(b'\'') => {
            let body = std::str::from_utf8(&rest[prefix + 1..]).unwrap_or_default();
            let len = body.chars().next().map_or(0, char::len_utf8);
            if body[len..].starts_with('\'') { i + prefix + len + 2 } else { i }
        }
        _ => i,
    }
}

fn quoted_end(b: &[u8], open: usize, quote: u8) -> usize {
    let mut i = open + 1;
    while i < b.len() && b[i] != quote {
        i += if b[i] == b'\\' { 2 } else { 1 };
    }
    (i + 1).min(b.len())
}

fn comment_end(b: &[u8], open: usize) -> usize {
    let (mut depth, mut i) = (0, open);
    while i < b.len() {
        if b[i..].starts_with(b"/*") {
            depth += 1;
            i += 2;
        } else if b[i..].starts_with(b"*/") {
            depth -= 1;
            i += 2;
            if depth == 0 {
                return i;
            }
        } else {
            i += 1;
        }
    }
    b.len()
}

//! HTML, and how the pages look.

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1a1f36;--soft:#5b6478;--line:#d9dee8;--card:#fff;--ground:#f5f7fa;--act:#0a58ca;--warn:#b3261e;--note:#fff6db}\
@media (prefers-color-scheme:dark){:root{--ink:#e8ebf3;--soft:#a5adbf;--line:#3a4256;--card:#1d2230;--ground:#12151e;--act:#2f6fde;--warn:#ff9a91;--note:#3a3216}}\
*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\
.test{background:var(--note);border-bottom:1px solid var(--line);padding:.5rem 1rem;text-align:center;font-size:.875rem}\
main{max-width:60rem;margin:0 auto;padding:2rem 1rem 4rem}main.narrow{max-width:30rem}\
section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:1.5rem;margin:0 0 1.5rem}\
h1{font-size:1.5rem;line-height:1.25;margin:0 0 1rem}h2{font-size:1.0625rem;margin:0 0 .75rem}p{margin:.25rem 0 .75rem}\
.soft{color:var(--soft)}.sum{font-size:2rem;font-weight:650;margin:0 0 .5rem}.wrong{color:var(--warn);font-weight:600}\
table{width:100%;border-collapse:collapse}td,th{text-align:left;padding:.4rem .5rem .4rem 0;border-bottom:1px solid var(--line);vertical-align:top}\
td.n,th.n{text-align:right}.scroll{overflow-x:auto}\
label,legend{display:block;font-weight:600;margin:.75rem 0 .25rem}fieldset{border:0;margin:0;padding:0}\
label.choice{font-weight:400;display:flex;gap:.6rem;align-items:flex-start;margin:.35rem 0}label.choice input{margin-top:.35rem}\
input[type=email],input[type=number]{width:100%;font:inherit;padding:.55rem .7rem;border:1px solid var(--line);border-radius:8px;background:var(--card);color:inherit}\
button{font:inherit;font-weight:600;padding:.6rem 1rem;border-radius:8px;border:1px solid var(--line);background:var(--card);color:inherit;cursor:pointer}\
button.act{background:var(--act);border-color:var(--act);color:#fff}button:focus-visible,input:focus-visible,a:focus-visible{outline:3px solid var(--act);outline-offset:2px}\
.row{display:flex;flex-wrap:wrap;gap:.6rem;margin-top:1rem}.row form{margin:0}.wide{width:100%}a{color:var(--act)}code,pre{font:.8125rem/1.45 ui-monospace,monospace}pre{overflow-x:auto;margin:0}";

/// A whole page.
pub(super) fn document(title: &str, body: &str) -> String {
    wrapped(title, body, "")
}

/// The same for a page with one thing to do.
pub(super) fn narrow(title: &str, body: &str) -> String {
    wrapped(title, body, " class=\"narrow\"")
}

fn wrapped(title: &str, body: &str, class: &str) -> String {
    let title = escaped(title);
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{title}</title><style>{STYLE}</style></head><body><div class=\"test\">A stand-in for Stripe on this machine: no money moves.</div><main{class}>{body}</main></body></html>"
    )
}

/// Text that says nothing to a browser.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// `$20.00`, or `20.00 EUR`.
pub(super) fn money(cents: i64, currency: &str) -> String {
    let (sign, whole, rest) = (if cents < 0 { "−" } else { "" }, cents.abs() / 100, cents.abs() % 100);
    match currency {
        "usd" => format!("{sign}${whole}.{rest:02}"),
        other => format!("{sign}{whole}.{rest:02} {}", escaped(&other.to_uppercase())),
    }
}

/// A form that is one button.
pub(super) fn button(to: &str, act: &str, label: &str) -> String {
    let (to, act, label) = (escaped(to), escaped(act), escaped(label));
    format!("<form method=\"post\" action=\"{to}\"><button name=\"act\" value=\"{act}\">{label}</button></form>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_wrote_stays_text() {
        assert_eq!(escaped("<b a='\"'>&"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;");
        assert_eq!(money(-123_405, "usd"), "−$1234.05");
        assert_eq!(money(7, "eur"), "0.07 EUR");
    }
}

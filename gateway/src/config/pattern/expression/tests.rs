//! What expressions are taken and refused, and with which words.

use super::*;

fn refused(text: &str) -> String {
    match Expression::new(text) {
        Ok(expression) => panic!("{expression} is taken"),
        Err(bad) => bad.to_string(),
    }
}

#[test]
fn what_asks_for_what_there_is_is_taken() {
    for (text, kind) in [
        ("true", Kind::Bool),
        ("method == 'GET' && path.startsWith('/a')", Kind::Bool),
        ("method in ['GET', 'HEAD'] || !(host == 'a.example')", Kind::Bool),
        ("headers['x-tenant'] == claims.tenant", Kind::Bool),
        ("has(claims.realm.roles) && 'admin' in claims.realm.roles", Kind::Bool),
        ("'x-beta' in headers && headers['x-beta'].matches('^[0-9]+$')", Kind::Bool),
        ("matches(path, 'x')", Kind::Bool),
        ("claims.roles.exists(role, role.startsWith('team-') && role != method)", Kind::Bool),
        ("claims.roles.all(method, method == 'a')", Kind::Bool),
        ("claims.roles.exists_one(r, r == 'a')", Kind::Bool),
        ("size(claims.roles) > 2 && claims.roles.size() < 5 && claims.roles[0] == 'a'", Kind::Bool),
        ("int(query.page) * 2 - 1 >= -5", Kind::Bool),
        ("auth.kind == 'jwt' ? claims.sub : cookies.session", Kind::Any),
        ("claims.admin", Kind::Any),
        ("params.id + '/' + method", Kind::Text),
        ("size(path) % 4", Kind::Number),
        ("cidr('10.0.0.0/8').containsIP(client_ip) && !cidr('::1').containsIP(headers['x-a'])", Kind::Bool),
        ("claims.roles.exists(client_ip, client_ip == 'a/b') && client_ip in ['10.0.0.1']", Kind::Bool),
        ("['a']", Kind::List),
    ] {
        let expression = Expression::new(text).unwrap_or_else(|bad| panic!("{text}: {bad}"));
        assert_eq!(expression.kind(), kind, "{text}");
        assert_eq!(expression.text(), text);
    }
}

#[test]
fn what_is_not_there_is_told_with_what_was_likely_meant() {
    for (text, told) in [
        ("metod == 'GET'", "nothing is called `metod` here; did you mean `method`?"),
        ("token == 'x'", "nothing is called `token` here; there are `method`, `host`, `path`"),
        ("type(path) == string", "there is no function `type`"),
        ("path.startWith('/a')", "there is no function `startWith`; did you mean `startsWith`?"),
        ("auth.kinds == 'jwt'", "nothing is called `auth.kinds` here; did you mean `kind`?"),
        ("claims.roles.exists(r, t == 'a')", "nothing is called `t` here"),
        (".path == '/a'", "nothing is called `.path` here"),
        ("startsWith(path, '/a')", "`startsWith` is called like `text.startsWith(text)`"),
        ("path.startsWith('/a', '/b')", "`startsWith` is called like"),
        ("cidr('10.0.0.0/8')", "`cidr` is called like `cidr(\"10.0.0.0/8\").containsIP(client_ip)`"),
        ("path.containsIP(client_ip)", "`containsIP` is called like"),
        ("containsIP('10.0.0.0/8', client_ip)", "`containsIP` is called like"),
        ("cidr('10.0.0.0/8').containsIP()", "`containsIP` is called like"),
        ("path.int()", "`int` is called like `int(text or number)`"),
    ] {
        let problem = refused(text);
        assert!(problem.contains(told), "{text}: {problem}");
    }
}

#[test]
fn what_can_never_fit_is_told() {
    for (text, told) in [
        ("method == 1", "`==` stands between a text and a number, which never fit"),
        ("path < 1", "`<` stands between a text and a number"),
        ("path + 1", "`+` stands between a text and a number"),
        ("path && true", "`true` or `false` is wanted for `&&`, and this is a text"),
        ("!path", "`true` or `false` is wanted for `!`, and this is a text"),
        ("path ? 1 : 2", "`true` or `false` is wanted for `? :`"),
        ("'a' in path", "a list is wanted for `in`, and this is a text"),
        ("path[0] == 'a'", "a list is wanted for `[ ]`, and this is a text"),
        ("path.x == 'a'", "`.x` is asked of a text, which has no parts of its own"),
        ("size('a').contains('a')", "a text is wanted for `contains`, and this is a number"),
        ("cidr('10.0.0.0/8').containsIP(1)", "a text is wanted for `containsIP`, and this is a number"),
        ("cidr(path).containsIP(client_ip)", "the range of `cidr` is a text that stands here"),
        ("cidr('10.0.0.1/8').containsIP(client_ip)", "the address has bits behind the prefix"),
        ("client_ip in ['10.0.0.1', '10.0.0.0/8']", "`client_ip` is one address and never `10.0.0.0/8`; write `cidr("),
        ("client_ip == '10.0.0.0/8'", "never `10.0.0.0/8`"),
        ("'10.0.0.0/8' != client_ip", "never `10.0.0.0/8`"),
        ("path - 1 == 2", "a number is wanted for `-`"),
        ("headers == claims", "`headers` stands alone; name one of them"),
        ("size(headers) > 3", "`headers` stands alone"),
        ("headers[path] == 'a'", "`headers` stands alone"),
        ("headers.exists(h, h == 'a')", "`headers` stands alone"),
    ] {
        let problem = refused(text);
        assert!(problem.contains(told), "{text}: {problem}");
    }
    let bad = Predicate::try_from("path + 'a'".to_owned()).expect_err("a text");
    assert_eq!(bad.to_string(), "the whole expression is a text, and `true` or `false` is wanted");
}

#[test]
fn what_costs_too_much_is_refused() {
    let nested = "claims.a.exists(x, claims.b.exists(y, x == y))";
    assert!(refused(nested).starts_with("a loop inside of a loop"));
    assert!(refused("claims.a.map(x, x).size() > 1").starts_with("`map`, `filter` and blocks"));
    assert!(refused("claims.a.filter(x, x == 1).size() > 1").starts_with("`map`, `filter` and blocks"));
    assert!(refused("{'a': 1}.a == 1").starts_with("`map`, `filter` and blocks"));
    assert!(refused("path.matches(method)").starts_with("the pattern of `matches` is a text that stands here"));
    assert!(refused("path.matches('(')").starts_with("this is no regular expression"));
    assert!(refused("path.matches('(a{500}){500}')").starts_with("the regular expression is too large"));
    assert_eq!(refused(&["path == 'a'"; 70].join(" || ")), BadExpression::TooLarge { parts: 279 }.to_string());
    assert!(refused(&["path"; 10].join(" + ")).starts_with("an expression has at most 8 `+`"));
    assert!(
        refused(&format!("path == '{}'", "a".repeat(MOST_TEXT))).starts_with("an expression has at most 2048 bytes")
    );
    let around = |open: &str, close: &str, count: usize| format!("{}true{}", open.repeat(count), close.repeat(count));
    for deep in [
        around("(", ")", 65),
        around("(", ")", 1000),
        around("[", "]", 64),
        around("!size(", ")", 64),
        format!("claims{}", ".a".repeat(1000)),
        format!("1{}", " - 1".repeat(90)),
        format!("{}true", "true ? true : ".repeat(64)),
        format!("claims{}", "[0]".repeat(64)),
    ] {
        assert!(refused(&deep).contains("the expression is too "), "{deep}: {}", refused(&deep));
    }
    for deep in [format!("{}1", "-".repeat(2000)), format!("{}true", "!".repeat(2000)), "(".repeat(64)] {
        let _ = Expression::new(&deep).map(drop);
    }
    assert!(Expression::new(&around("(", ")", 64)).is_ok(), "parentheses alone are no parts");
}

#[test]
fn what_is_not_in_the_language_is_told_with_its_place() {
    for (text, place) in [("method ==", "line 1, column 10"), ("path\n == 'a", "line 2, column 5")] {
        let problem = refused(text);
        assert!(problem.starts_with(place), "{problem}");
    }
    for text in ["", "  ", "a.?b", "'a' 'b'", "method = 'GET'", "claims.`a` == 1"] {
        assert!(Expression::new(text).is_err(), "{text}");
    }
}

#[test]
fn what_it_asks_for_is_known() {
    let expression =
        Expression::new("has(claims.a) && claims['b.c'] == headers['x'] && path.matches('@')").expect("taken");
    let of = |variable, name: Option<&str>| Reference { variable, name: name.map(str::to_owned) };
    let expected = [
        of(Variable::Claims, Some("a")),
        of(Variable::Claims, Some("b.c")),
        of(Variable::Headers, Some("x")),
        of(Variable::Path, None),
    ];
    assert_eq!(expression.references(), expected);
}

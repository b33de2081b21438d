//! Which names come of which values, and which values name nothing.

use super::*;

fn template(text: &str) -> Template {
    match text.parse().expect("a template") {
        Target::Template(template) => template,
        Target::Table(table) => panic!("{table} is a table"),
    }
}

#[test]
fn values_become_names_by_one_rule() {
    let cases = [
        ("bronze.{topic}", "Shop.Orders-v2", None, Ok("bronze.shop_orders_v2")),
        ("bronze.{field:kind}", "t", Some("Page View"), Ok("bronze.page_view")),
        ("bronze.x_{header:tenant}_y", "t", Some("a.b/../c"), Ok("bronze.x_a_b____c_y")),
        ("a.b.{topic}_{field:k}", "t", Some("7"), Ok("a.b.t_7")),
        ("bronze.{field:k}", "t", Some("größe"), Ok("bronze.gr__e")),
        ("bronze.{field:k}", "t", Some(""), Err("the field `k`, which names the table, is empty")),
        ("bronze.{header:h}", "t", None, Err("the header `h`, which names the table, is missing or no text")),
    ];
    for (text, topic, value, expected) in cases {
        let made = template(text).table(topic, |_| value).map(|table| table.to_string());
        assert_eq!(made.as_deref().map_err(String::as_str), expected, "{text} of {value:?}");
        assert_eq!(template(text).to_string(), text);
    }
    let long = "x".repeat(300);
    let fault = template("b.{field:k}").table("t", |_| Some(&long)).expect_err("too long");
    assert!(fault.ends_with("is longer than the name of a table may be"), "{fault}");
}

#[test]
fn what_is_no_template_is_refused_with_an_example() {
    for text in
        ["{topic}", "bronze.{topic", "bronze.{nothing:x}", "{topic}.x", "bronze.a b{topic}", "b.{field:}"]
    {
        let fault = text.parse::<Target>().expect_err(text);
        assert!(fault.contains("`bronze.{header:tenant}_events`"), "{fault}");
    }
    assert!("bronze.orders".parse::<Target>().is_ok_and(|target| target.table().is_some()));
}

#[test]
fn a_template_knows_the_names_that_it_can_have_made() {
    let made = |text: &str, name: &str| template(text).can_make(&name.parse().expect("a name"));
    assert!(made("bronze.x_{topic}_y", "bronze.x_abc_y"));
    assert!(made("bronze.{topic}_{field:k}", "bronze.a_b_c"));
    assert!(!made("bronze.x_{topic}_y", "bronze.x__y"));
    assert!(!made("bronze.x_{topic}", "silver.x_a"));
    assert!(!made("bronze.{topic}_y", "bronze.a_z"));
    assert!(
        made("bronze.{topic}_a_{field:k}_b", "bronze.x_a_a_b_b") && !made("bronze.a{topic}a", "bronze.aa")
    );
    assert!(made("bronze.{topic}{field:k}", "bronze.ab") && !made("bronze.{topic}{field:k}", "bronze.a"));
    // Names come from strangers: none makes the search long.
    let long = format!("bronze.{}", "a".repeat(200));
    assert!(!made(&format!("bronze.{}b", "{field:a}a".repeat(20)), &long));
}

#[test]
fn a_pattern_means_whole_names_and_never_topics_of_kafka_itself() {
    let pattern: Pattern = r"shop\.[a-z]+|stock".parse().expect("a pattern");
    for (topic, matches) in [
        ("shop.orders", true),
        ("stock", true),
        ("shop.orders2", false),
        ("x.shop.a", false),
        ("stocks", false),
    ] {
        assert_eq!(pattern.matches(topic), matches, "{topic}");
    }
    assert!(!".*".parse::<Pattern>().expect("a pattern").matches("__consumer_offsets"));
    assert!("(".parse::<Pattern>().expect_err("not closed").contains("use a regular expression"));
    assert!("(a{1000}){1000}".parse::<Pattern>().is_err(), "a pattern that would fill the memory");
}

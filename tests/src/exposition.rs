//! The text in which Prometheus is told figures, read strictly: what a scraper would merely forgive is an error here.

use std::collections::{BTreeMap, BTreeSet};

/// Labels with their values.
type Labels = BTreeMap<String, String>;

/// What was told.
#[derive(Debug, Default)]
pub struct Exposition {
    kinds: BTreeMap<String, String>,
    samples: BTreeMap<(String, Labels), f64>,
}

impl Exposition {
    /// The value of a sample with exactly these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.samples.get(&(name.to_owned(), labels)).copied()
    }

    /// The names of the metrics that have samples, but for those about the target itself.
    pub fn families(&self) -> BTreeSet<String> {
        self.kinds.keys().filter(|name| *name != "target_info").cloned().collect()
    }

    /// The metric that a sample belongs to.
    fn family<'a>(&self, sample: &'a str) -> Option<&'a str> {
        let of_histogram = |end| sample.strip_suffix(end).filter(|name| self.is_histogram(name));
        ["_bucket", "_sum", "_count"]
            .into_iter()
            .find_map(of_histogram)
            .or(Some(sample))
            .filter(|name| self.kinds.contains_key(*name))
    }

    fn is_histogram(&self, name: &str) -> bool {
        self.kinds.get(name).is_some_and(|kind| kind == "histogram")
    }

    /// Buckets grow with their bounds, and the last one holds all.
    fn check_histograms(&self) -> Result<(), String> {
        let mut series: BTreeMap<(&str, Labels), Vec<(f64, f64)>> = BTreeMap::new();
        for ((name, labels), value) in &self.samples {
            let Some(family) = name.strip_suffix("_bucket").filter(|family| self.is_histogram(family)) else {
                continue;
            };
            let mut labels = labels.clone();
            let bound = labels.remove("le").ok_or_else(|| format!("{name} has no bound"))?;
            let bound = number(&bound)?;
            series.entry((family, labels)).or_default().push((bound, *value));
        }
        for ((family, labels), mut buckets) in series {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            let count = self.samples.get(&(format!("{family}_count"), labels.clone()));
            let whole =
                buckets.last().is_some_and(|(bound, value)| *bound == f64::INFINITY && Some(value) == count);
            let grows = buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1 && pair[0].0 < pair[1].0);
            let sum = self.samples.contains_key(&(format!("{family}_sum"), labels.clone()));
            if !whole || !grows || !sum {
                return Err(format!(
                    "the histogram {family} {labels:?} does not add up: {buckets:?}, {count:?}"
                ));
            }
        }
        Ok(())
    }
}

/// Reads an exposition of version 0.0.4.
pub fn parse(text: &str) -> Result<Exposition, String> {
    let mut found = Exposition::default();
    let mut current = String::new();
    if !text.ends_with('\n') {
        return Err("the last line has no end".to_owned());
    }
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| format!("no kind: {line}"))?;
            if !["counter", "gauge", "histogram"].contains(&kind) || !is_name(name) {
                return Err(format!("not a type: {line}"));
            }
            if found.kinds.insert(name.to_owned(), kind.to_owned()).is_some() {
                return Err(format!("a second type: {line}"));
            }
            name.clone_into(&mut current);
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            rest.split_once(' ')
                .filter(|(name, _)| is_name(name))
                .ok_or_else(|| format!("no help: {line}"))?;
        } else {
            let ((name, labels), value) = sample(line)?;
            if found.family(&name) != Some(&current) {
                return Err(format!("not among the samples of {current}: {line}"));
            }
            if found.samples.insert((name, labels), value).is_some() {
                return Err(format!("the same sample twice: {line}"));
            }
        }
    }
    found.check_histograms().map(|()| found)
}

fn sample(line: &str) -> Result<((String, Labels), f64), String> {
    let bad = || format!("not a sample: {line}");
    let (place, value) = line.rsplit_once(' ').ok_or_else(bad)?;
    let (name, labels) = match place.split_once('{') {
        None => (place, Labels::new()),
        Some((name, rest)) => (name, labels(rest.strip_suffix('}').ok_or_else(bad)?).ok_or_else(bad)?),
    };
    if !is_name(name) {
        return Err(bad());
    }
    Ok(((name.to_owned(), labels), number(value)?))
}

fn labels(mut text: &str) -> Option<Labels> {
    let mut labels = Labels::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"")?;
        let end = rest.char_indices().scan(false, |escaped, (at, c)| {
            let ends = c == '"' && !*escaped;
            *escaped = c == '\\' && !*escaped;
            Some((at, ends))
        });
        let (end, _) = end.into_iter().find(|(_, ends)| *ends)?;
        let known = labels.insert(name.to_owned(), rest[..end].to_owned());
        if known.is_some() || !is_name(name) || name.contains(':') {
            return None;
        }
        text = &rest[end + 1..];
        text = text.strip_prefix(',').unwrap_or(text);
    }
    Some(labels)
}

fn number(text: &str) -> Result<f64, String> {
    match text {
        "+Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        text => text.parse().map_err(|error| format!("{text} is not a number: {error}")),
    }
}

fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    name.chars().all(good) && name.starts_with(|c: char| !c.is_ascii_digit())
}

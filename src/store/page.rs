//! Pages of the directory's lists, by key and never by offset: what a page costs does not grow with what is stored.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postern_domain::problem::{Code, Problem};
use postern_domain::wire::call::{Page, PageOf};
use serde::{Deserialize, Serialize};

/// Where a page begins. Its text is opaque to callers, and names the list and its order: an iterator of another one is
/// refused, not misread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Iterator<K> {
    list: String,
    ascending: bool,
    backward: bool,
    key: K,
}

/// A page to be read: from where, and in which direction the key runs.
pub(super) struct Reading<K> {
    /// Read strictly behind this key; none: from the list's beginning.
    pub(super) behind: Option<K>,
    /// Rows to ask for: one more than the page holds says whether it is the last.
    pub(super) rows: u64,
    list: &'static str,
    page: PageOf,
    backward: bool,
}

impl<K: Serialize + for<'de> Deserialize<'de>> Reading<K> {
    /// Reads what the caller gave.
    ///
    /// # Errors
    /// [`Code::InvalidIterator`] for an iterator that this list did not hand out.
    pub(super) fn new(list: &'static str, page: PageOf) -> Result<Self, Problem> {
        let iterator = page
            .iterator
            .as_deref()
            .map(|text| {
                read::<K>(text)
                    .filter(|iterator| iterator.list == list && iterator.ascending == page.ascending)
                    .ok_or_else(invalid)
            })
            .transpose()?;
        Ok(Self {
            rows: u64::from(page.limit) + 1,
            backward: iterator.as_ref().is_some_and(|iterator| iterator.backward),
            behind: iterator.map(|iterator| iterator.key),
            list,
            page,
        })
    }

    /// `>` and `ASC`, or `<` and `DESC`.
    pub(super) fn direction(&self) -> (&'static str, &'static str) {
        if self.page.ascending == self.backward {
            ("<", "DESC")
        } else {
            (">", "ASC")
        }
    }

    /// The rows as a page.
    pub(super) fn page<T>(self, mut rows: Vec<T>, key: impl Fn(&T) -> K) -> Page<T> {
        let limit = usize::from(self.page.limit);
        let done = rows.len() <= limit;
        rows.truncate(limit);
        if self.backward {
            rows.reverse();
        }
        let iterator = |row: Option<&T>, backward| {
            row.map_or_else(
                || self.page.iterator.clone(),
                |row| {
                    Some(write(&Iterator {
                        list: self.list.to_owned(),
                        ascending: self.page.ascending,
                        backward,
                        key: key(row),
                    }))
                },
            )
        };
        Page {
            iterator: iterator(rows.last(), false),
            prev_iterator: iterator(rows.first(), true),
            done,
            data: rows,
        }
    }
}

fn write<K: Serialize>(iterator: &Iterator<K>) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(iterator).unwrap_or_default())
}

fn read<K: for<'de> Deserialize<'de>>(text: &str) -> Option<Iterator<K>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

fn invalid() -> Problem {
    Problem::new(
        Code::InvalidIterator,
        "This iterator is not one that this list, in this order, has given out; begin without one",
    )
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    fn page(limit: u16, iterator: Option<String>) -> PageOf {
        PageOf {
            limit,
            iterator,
            ascending: true,
        }
    }

    #[test]
    fn a_page_names_where_the_next_and_the_one_before_begin() {
        let first = Reading::<u64>::new("n", page(2, None))
            .unwrap()
            .page(vec![1, 2, 3], |n| *n);
        assert_eq!((first.data.as_slice(), first.done), ([1, 2].as_slice(), false));

        let next = Reading::<u64>::new("n", page(2, first.iterator)).unwrap();
        assert_eq!((next.behind, next.direction()), (Some(2), (">", "ASC")));

        let back = next.page(vec![3], |n| *n).prev_iterator;
        let before = Reading::<u64>::new("n", page(2, back)).unwrap();
        assert_eq!((before.behind, before.direction()), (Some(3), ("<", "DESC")));
        assert_eq!(before.page(vec![2, 1], |n| *n).data, [1, 2]);
    }

    #[test]
    fn an_iterator_of_another_list_or_order_and_no_iterator_at_all_are_refused() {
        let other = Reading::<u64>::new("other", page(1, None))
            .unwrap()
            .page(vec![1], |n| *n);
        for text in [other.iterator.unwrap(), "zzz".to_owned(), String::new()] {
            let refused = Reading::<u64>::new("n", page(1, Some(text))).err().unwrap();
            assert_eq!(refused.code, Code::InvalidIterator);
        }
    }

    #[test]
    fn an_empty_page_keeps_the_iterator_so_that_a_reader_can_ask_again_later() {
        let text = Reading::<u64>::new("n", page(1, None))
            .unwrap()
            .page(vec![1], |n| *n)
            .iterator;
        let empty = Reading::<u64>::new("n", page(1, text.clone()))
            .unwrap()
            .page(vec![], |n| *n);
        assert_eq!((empty.iterator, empty.done), (text, true));
    }
}

//! What stands in the answers of a store.

use crate::transaction::{Answer, CommitError, Page, Value};

/// The integers of an answer, absent ones as 0.
///
/// # Errors
/// It has another number of fields, or bytes among them.
pub fn integers<const N: usize>(answer: Option<&Answer>) -> Result<[i64; N], CommitError> {
    let values = fields(answer)?;
    let mut integers = [0; N];
    if values.len() != N {
        return Err(unexpected());
    }
    for (integer, value) in integers.iter_mut().zip(values) {
        *integer = self::integer(value.as_ref())?;
    }
    Ok(integers)
}

/// An integer, 0 where there is none.
///
/// # Errors
/// It is bytes.
pub fn integer(value: Option<&Value>) -> Result<i64, CommitError> {
    match value {
        None => Ok(0),
        Some(Value::Integer(integer)) => Ok(*integer),
        Some(Value::Bytes(_)) => Err(unexpected()),
    }
}

/// The values of an answer to fields.
///
/// # Errors
/// It is another answer.
pub fn fields(answer: Option<&Answer>) -> Result<&[Option<Value>], CommitError> {
    match answer {
        Some(Answer::Fields(values)) => Ok(values),
        _ => Err(unexpected()),
    }
}

/// The members of an answer to a page.
///
/// # Errors
/// It is another answer.
pub fn page(answer: Option<&Answer>) -> Result<&Page, CommitError> {
    match answer {
        Some(Answer::Page(page)) => Ok(page),
        _ => Err(unexpected()),
    }
}

/// The store answered with what was not asked for.
pub fn unexpected() -> CommitError {
    CommitError::Unreadable("an answer is not of the kind that was asked for".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_what_was_asked_for_or_an_error() {
        let values = vec![Some(Value::Integer(3)), None, Some(Value::Bytes(vec![1]))];
        let answer = Answer::Fields(values.clone());
        assert_eq!(fields(Some(&answer)), Ok(values.as_slice()));
        assert_eq!(fields(Some(&Answer::Fields(vec![]))), Ok([].as_slice()));
        for other in [None, Some(&Answer::Size(1)), Some(&Answer::Map(vec![]))] {
            assert_eq!(fields(other), Err(unexpected()), "{other:?}");
        }
        let members = Answer::Page(Page { members: vec!["m".into()], has_more: true });
        assert!(page(Some(&members)).is_ok_and(|page| page.has_more && page.members.len() == 1));
        for other in [None, Some(&answer)] {
            assert_eq!(page(other), Err(unexpected()), "{other:?}");
        }
        assert_eq!(integer(values[0].as_ref()), Ok(3));
        assert_eq!(integer(None), Ok(0));
        assert_eq!(integer(values[2].as_ref()), Err(unexpected()));
        let numbers = Answer::Fields(values[..2].to_vec());
        assert_eq!(integers(Some(&numbers)), Ok([3, 0]));
        assert_eq!(integers::<1>(Some(&numbers)), Err(unexpected()));
        assert_eq!(integers::<3>(Some(&answer)), Err(unexpected()));
    }
}

//! Times, sizes and rates as people write them: `10s`, `32KiB`, `5/2s`.

use std::time::Duration;

use crate::destination::Window;

/// `250ms`, `10s`, `5m`, `12h` or `3d`; at most a hundred years.
pub(crate) fn time(text: &str) -> Option<Duration> {
    let (count, unit) = number_and_unit(text)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let millis = count.checked_mul(millis)?;
    (millis <= 36_500 * 86_400_000).then(|| Duration::from_millis(millis))
}

/// In bytes: `512B`, `32KiB`, `10MiB`, `2GiB`, or with the decimal `KB`, `MB`, `GB`; nothing is
/// `0` in any unit.
pub(super) fn size(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let (count, unit) = number_and_unit(text)?;
    let bytes = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    count.checked_mul(bytes)
}

/// `n/time`, where a lone unit is one of it: `1/s`, `30/60s`.
pub(crate) fn rate(text: &str) -> Option<Window> {
    let (count, per) = text.split_once('/')?;
    let count = digits(count)?.try_into().ok()?;
    let per = time(per).or_else(|| time(&format!("1{per}")))?;
    (count > 0 && !per.is_zero()).then_some(Window { count, per })
}

/// A whole number.
pub(super) fn digits(text: &str) -> Option<u64> {
    // `parse` alone would take `+1`.
    let all_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| all_digits)
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = text.split_at(unit);
    Some((digits(count)?, unit.trim_start_matches(' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_whole_number_and_a_unit() {
        assert_eq!(time("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(time("3d"), Some(Duration::from_secs(259_200)));
        assert_eq!(time("0s"), Some(Duration::ZERO));
        for wrong in [
            "",
            "10",
            "s",
            "1.5s",
            "-1s",
            "+1s",
            "1 S",
            "1w",
            "99999999999999999999s",
            "36501d",
        ] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_know_binary_and_decimal_units() {
        assert_eq!(size("32KiB"), Some(32_768));
        assert_eq!(size("10 MB"), Some(10_000_000));
        assert_eq!(size("0"), Some(0));
        for wrong in ["", "32", "32kib", "KiB", "1.5MiB", "99999999999999GiB"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn rates_are_a_count_in_a_time() {
        let window = |count, millis| {
            let per = Duration::from_millis(millis);
            Some(Window { count, per })
        };
        assert_eq!(rate("1/s"), window(1, 1_000));
        assert_eq!(rate("5/2s"), window(5, 2_000));
        assert_eq!(rate("30/60s"), window(30, 60_000));
        for wrong in ["", "1", "/s", "0/s", "1/0s", "1/", "1/s/s", "1 per s"] {
            assert_eq!(rate(wrong), None, "{wrong}");
        }
    }
}

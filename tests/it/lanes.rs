//! Lanes, schedules and pace under a stepped clock, against stand-ins that count violations.

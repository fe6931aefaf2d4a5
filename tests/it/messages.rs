//! Both built-in sets over every recorded event.

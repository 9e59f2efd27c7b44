//! Both halves alone.

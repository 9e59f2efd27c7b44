//! Halves alone: what each of them does with one message.

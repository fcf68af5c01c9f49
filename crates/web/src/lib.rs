//! The pages that people see, and their live stream

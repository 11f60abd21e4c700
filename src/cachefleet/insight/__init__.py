"""What a cache's keys say: the hit rate that other sizes would have, what fills the memory, what is not needed. Pure."""

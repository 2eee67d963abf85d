UPDATE search_blocks SET tokens = '*', marked = true, version = version + 1;

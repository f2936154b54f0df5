-- verify.sql: what `arnova verify` asks; filled in below.
SELECT NULL;

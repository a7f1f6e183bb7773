"""The k6 bridge without sockets: lines, labels, spool, arguments."""

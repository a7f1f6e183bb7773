"""TimescaleDB (TSL) as WASM: proves its DDL, views and settings where no native build can be had.

    server.mjs    one database, run by Node.js
    launch        installs the packages of package-lock.json once, starts and stops servers

One connection at a time, no COPY FROM STDIN, no background jobs: speed and the COPY path are
tested on a native server.
"""

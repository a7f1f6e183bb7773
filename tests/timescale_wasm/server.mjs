// One TimescaleDB, in memory, behind the PostgreSQL protocol: an empty one, or what an image holds that it is given.
// Prints its port, ends with its standard input. A line there names a file to write an image to; it is printed when done.
import { readFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { PGlite, protocol } from '@electric-sql/pglite'
import { timescaledb } from '@electric-sql/pglite/timescaledb'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'

const image = process.argv[2]
const db = await PGlite.create({
  extensions: { timescaledb },
  loadDataDir: image && new Blob([readFileSync(image)]),
})
// Here, because one session can't create it again after it was rolled back or dropped. A server would preload it.
await db.exec(image ? "LOAD 'timescaledb'" : 'CREATE EXTENSION timescaledb')
const statement = (sql) => db.execProtocolRaw(protocol.serialize.query(sql))

// All connections share the one session that WASM has, one after the other: whatever one leaves behind
// (a role, an open transaction, an advisory lock) must not be there for the next. A reset goes back to
// PGlite's command line, which has another search path than a server, debug messages and no sequential scans.
const reset = [
  'ROLLBACK',
  'DISCARD ALL',
  'SET search_path TO "$user", public',
  'SET client_min_messages TO notice',
  'SET enable_seqscan TO on',
]
const sessions = {
  waitReady: db.waitReady,
  execProtocolRaw: (message) => db.execProtocolRaw(message),
  runExclusive: (hold) =>
    db.runExclusive(async () => {
      for (const sql of reset) await statement(sql)
      return hold()
    }),
}

const server = new PGLiteSocketServer({ db: sessions, host: '127.0.0.1', port: 0 })
server.addEventListener('listening', (event) => console.log(event.detail.port))
await server.start()

// A test run that is killed closes the pipe: no server outlives it.
createInterface({ input: process.stdin })
  .on('line', async (path) => {
    writeFileSync(path, await (await db.dumpDataDir('none')).bytes())
    console.log(path)
  })
  .on('close', () => process.exit(0))

// One empty TimescaleDB, in memory, behind the PostgreSQL protocol. Prints its port, ends with its standard input.
import { PGlite, protocol } from '@electric-sql/pglite'
import { timescaledb } from '@electric-sql/pglite/timescaledb'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'

const db = await PGlite.create({ extensions: { timescaledb } })
// Here, because one session can't create it again after it was rolled back or dropped.
await db.exec('CREATE EXTENSION timescaledb')
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
process.stdin.on('close', () => process.exit(0)).resume()

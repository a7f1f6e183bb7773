import { check, group, sleep } from 'k6'
import exec from 'k6/execution'
import grpc from 'k6/net/grpc'
import http from 'k6/http'
import { Counter, Gauge, Rate, Trend } from 'k6/metrics'
import ws from 'k6/ws'
const client = new grpc.Client(); client.load(['.'], 'health.proto')
const trend = new Trend('my_trend', true), counter = new Counter('my_counter'), rate = new Rate('my_rate'), gauge = new Gauge('my_gauge')
export const options = {
  tags: { team: 'shop', build: '7' },
  systemTags: ['proto','subproto','status','method','url','name','group','check','error','error_code','scenario','service','expected_response','vu','iter'],
  scenarios: {
    sockets: { executor: 'per-vu-iterations', vus: 2, iterations: 2, exec: 'sockets', tags: { kind: 'ws' } },
    calls: { executor: 'shared-iterations', vus: 1, iterations: 3, exec: 'calls' },
    pages: { executor: 'constant-vus', vus: 1, duration: '30s', startTime: '1s', exec: 'pages' },
  },
  thresholds: {
    'http_req_failed{scenario:pages}': [{ threshold: 'rate<0.1', abortOnFail: true, delayAbortEval: '500ms' }],
    'grpc_req_duration{scenario:calls}': ['p(95)<5000'],
    'my_rate{kind:ws}': ['rate==1'],
    'my_counter': ['count>2'],
    'my_gauge': ['value<100'],
    'group_duration{group:::outer::inner}': ['avg<5000'],
    'ws_sessions': ['count>=4'],
    'checks{check:answered}': ['rate>0.9'],
  },
}
export function sockets () {
  const answer = ws.connect(`ws://127.0.0.1:19101/ws/${exec.vu.iterationInScenario}?t=1`, null, (socket) => {
    socket.on('open', () => { socket.send('x'); socket.ping() })
    socket.on('message', () => { rate.add(true); socket.close() })
  })
  check(answer, { answered: (r) => r.status === 101 })
}
export function calls () {
  client.connect('127.0.0.1:19102', { plaintext: true })
  group('outer', () => group('inner', () => {
    const answer = client.invoke('grpc.health.v1.Health/Check', {})
    check(answer, { answered: (r) => r.status === grpc.StatusOK })
    trend.add(3.5); counter.add(1); gauge.add(7)
  }))
  client.close()
}
export function pages () { http.get('http://127.0.0.1:19101/down'); sleep(0.1) }

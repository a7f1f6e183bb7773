// CRUD: an item's whole life, first as a smoke test, then under load; 50 s in all.
import { check, sleep } from 'k6'
import http from 'k6/http'
import { Trend } from 'k6/metrics'

import { API, named, seconds, vus } from './environment.js'

const createDuration = new Trend('custom_create_duration', true)
const gone = http.expectedStatuses(404)

export const options = {
  scenarios: {
    smoke: {
      executor: 'ramping-vus',
      startVUs: 0,
      stages: [
        { duration: seconds(5), target: 3 },
        { duration: seconds(10), target: 3 },
        { duration: seconds(5), target: 0 },
      ],
      gracefulRampDown: '2s',
    },
    crud_load: {
      executor: 'constant-vus',
      vus: vus(5),
      startTime: seconds(20),
      duration: seconds(30),
      gracefulStop: '5s',
    },
  },
  thresholds: {
    http_req_failed: ['rate<0.02'],
    http_req_duration: ['p(95)<700'],
    checks: ['rate>0.98'],
  },
}

export default function () {
  const created = http.post(
    `${API}/items`,
    JSON.stringify({ title: `item of VU ${__VU}`, description: 'made by k6' }),
    named('/items'),
  )
  createDuration.add(created.timings.duration)
  if (!check(created, { 'created: 201': (response) => response.status === 201 })) return
  const item = `${API}/items/${created.json('id')}`

  check(http.get(item, named('/items/{id}')), {
    'read: 200': (response) => response.status === 200,
    'read: pending': (response) => response.json('status') === 'pending',
  })
  const done = JSON.stringify({ title: 'done by k6', status: 'done' })
  check(http.put(item, done, named('/items/{id}')), {
    'updated: 200': (response) => response.status === 200,
    'updated: done': (response) => response.json('status') === 'done',
  })
  check(http.get(`${API}/items?limit=10`, named('/items')), {
    'listed: 200': (response) => response.status === 200,
  })
  check(http.del(item, null, named('/items/{id}')), {
    'deleted: 204': (response) => response.status === 204,
  })
  check(http.get(item, named('/items/{id}', gone)), {
    'gone: 404': (response) => response.status === 404,
  })
  sleep(0.1)
}

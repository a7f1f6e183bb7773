// Basic: is the list there, and fast? Up, steady, down: 50 s in all (DURATION_SCALE=0.4 makes it 20 s).
import { check, sleep } from 'k6'
import http from 'k6/http'

import { API, named, seconds, vus } from './environment.js'

export const options = {
  stages: [
    { duration: seconds(10), target: vus(5) },
    { duration: seconds(30), target: vus(5) },
    { duration: seconds(10), target: 0 },
  ],
  thresholds: {
    http_req_duration: ['p(95)<500'],
    http_req_failed: ['rate<0.01'],
  },
}

export default function () {
  const listed = http.get(`${API}/items?limit=20`, named('/items'))
  check(listed, {
    'status is 200': (response) => response.status === 200,
    'body is a list': (response) => response.status === 200 && Array.isArray(response.json()),
  })
  sleep(0.05)
}

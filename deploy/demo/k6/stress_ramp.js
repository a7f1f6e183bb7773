// Stress: to 30 users, three minutes there, and back; 5 minutes in all.
import { check, sleep } from 'k6'
import http from 'k6/http'

import { API, named, seconds, vus } from './environment.js'

export const options = {
  stages: [
    { duration: seconds(60), target: vus(30) },
    { duration: seconds(180), target: vus(30) },
    { duration: seconds(60), target: 0 },
  ],
  thresholds: {
    http_req_duration: ['p(95)<800'],
    http_req_failed: ['rate<0.01'],
  },
}

export default function () {
  const listed = http.get(`${API}/items?limit=5`, named('/items'))
  check(listed, { 'status is 200': (response) => response.status === 200 })
  sleep(0.5)
}

// What a script takes from its environment: API_BASE, TOKEN, VUS and DURATION_SCALE.

export const API = (__ENV.API_BASE || 'http://127.0.0.1:21000').replace(/\/+$/, '')

const HEADERS = { 'Content-Type': 'application/json' }
if (__ENV.TOKEN) HEADERS.Authorization = `Bearer ${__ENV.TOKEN}`

// `name` groups requests whose URL carries an id: /items/{id} is one endpoint, not thousands.
export const named = (name, expected) => ({
  headers: HEADERS,
  tags: { name },
  ...(expected && { responseCallback: expected }),
})

const SCALE = Number(__ENV.DURATION_SCALE || 1)
if (!(SCALE > 0)) throw new Error(`DURATION_SCALE must be a number above 0, not ${__ENV.DURATION_SCALE}`)

export const vus = (usual) => {
  const wanted = Number(__ENV.VUS || usual)
  if (!Number.isInteger(wanted) || wanted < 1) throw new Error(`VUS must be a whole number above 0, not ${__ENV.VUS}`)
  return wanted
}

// In milliseconds, so that a scaled stage is not rounded away.
export const seconds = (usual) => `${Math.max(1, Math.round(usual * SCALE * 1000))}ms`

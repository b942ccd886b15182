'use strict'

// node server.js LIMIT WINDOW_MS, where LIMIT is a number, or `none` for Express alone.
const express = require('express')
const { rateLimit } = require('express-rate-limit')

const [limit, windowMs] = process.argv.slice(2)
const app = express()
app.set('trust proxy', 'loopback')
if (limit !== 'none') {
  // As its documentation begins, with both kinds of headers, as the gate sends them.
  app.use(rateLimit({
    windowMs: Number(windowMs),
    limit: Number(limit),
    standardHeaders: 'draft-8',
    legacyHeaders: true
  }))
}
app.get('/hello', (request, response) => {
  response.type('text/plain').send('hello\n')
})

const server = app.listen(0, '127.0.0.1', () => {
  console.log(`listening on 127.0.0.1:${server.address().port}`)
})

// It ends with whoever started it.
process.stdin.on('end', () => process.exit(0)).resume()

// Decides each simulation on stdin (one a line) with @cloud-copilot/iam-simulate; prints one result a line.
import { createInterface } from 'node:readline'
import { createRequire } from 'node:module'

const { runSimulation } = createRequire(import.meta.url)('@cloud-copilot/iam-simulate')
for await (const line of createInterface({ input: process.stdin })) {
  const { resultType, overallResult, errors } = await runSimulation(JSON.parse(line), {})
  console.log(JSON.stringify({ resultType, result: overallResult, errors }))
}

package restore

// Schedule is schedule, for tests.
func Schedule(p *Plan) [][]int { return schedule(p) }

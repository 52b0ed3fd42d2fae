package topology

// DrawingRows returns the labels of a drawing's nodes, row by row.
func DrawingRows(g *Graph, o TreeOptions) ([][]string, error) {
	d, err := newDrawing(g, o)
	if err != nil {
		return nil, err
	}
	var out [][]string
	for _, n := range d.nodes {
		out = append(out, n.rows)
	}
	return out, nil
}

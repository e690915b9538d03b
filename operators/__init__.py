from rxchain.operators._map import map

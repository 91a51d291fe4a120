"""Demo networks that ship with the program, each with its data, its licences and where they came from."""

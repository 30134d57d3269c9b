//! Log files of any size, seen: line index, formats, merged time order, filters, histograms, SQL.

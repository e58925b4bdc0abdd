//! Reads the lines of `peers-measure` and prints the tables.

use std::io;

use serde_json::Value;

fn main() -> io::Result<()> {
    let runs = io::stdin().lines().map(|line| Ok(serde_json::from_str(&line?)?)).collect::<io::Result<Vec<Value>>>()?;
    print!("{}", peers::table::tables(&runs));
    Ok(())
}

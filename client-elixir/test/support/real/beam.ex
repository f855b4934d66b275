defmodule Sidewinder.Test.Beam do
  @moduledoc "A second BEAM with this library in it, which says two numbers when it is ready. It is killed after the test."

  import ExUnit.Callbacks, only: [on_exit: 1]

  alias Sidewinder.Test.Tree

  @patience 40_000

  @doc "Starts one, and waits for what it says first."
  def start(program) do
    ebin = Path.dirname(:code.which(Sidewinder))
    elixir = System.find_executable("elixir")
    args = ["-pa", to_string(ebin), "-e", program]
    port = Port.open({:spawn_executable, elixir}, [:binary, :exit_status, :stderr_to_stdout, line: 8_192, args: args])
    {:os_pid, started} = Port.info(port, :os_pid)
    tree = Tree.below(started)
    on_exit(fn -> for pid <- Tree.left(tree), do: System.cmd("kill", ["-9", Integer.to_string(pid)]) end)
    numbers()
  end

  @doc "The next two numbers that it says."
  def numbers(lines \\ []) do
    receive do
      {_port, {:data, {_, "numbers " <> numbers}}} ->
        [one, other] = numbers |> String.split() |> Enum.map(&String.to_integer/1)
        {one, other}

      {_port, {:data, {_, line}}} ->
        numbers([line | lines])

      {_port, {:exit_status, status}} ->
        raise "the second BEAM ended with #{status}:\n#{lines |> Enum.reverse() |> Enum.join("\n")}"
    after
      @patience -> raise "the second BEAM said nothing:\n#{lines |> Enum.reverse() |> Enum.join("\n")}"
    end
  end
end

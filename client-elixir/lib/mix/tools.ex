defmodule Sidewinder.Tools do
  @moduledoc """
  From what a daemon says of its tools to the source of a module. `mix sidewinder.gen.tools` writes it.

  Names and documentation come from Python, so nothing of them is trusted to be Elixir: names that are none are left out
  and counted, and texts are written as literals.
  """

  @reserved ~w(after and catch do else end false fn in nil not or rescue true when)

  @doc "The source, formatted."
  @spec source([map], String.t(), String.t(), nil | String.t()) :: String.t()
  def source(tools, module, client, pool) do
    {named, odd} = tools |> Enum.uniq_by(& &1.name) |> Enum.split_with(&name?(&1.name))

    left =
      if odd == [],
        do: "",
        else: "\n\n  Left out, because their names are none here: #{Enum.map_join(odd, ", ", &inspect(&1.name))}."

    """
    defmodule #{module} do
      @moduledoc #{literal("The tools of the daemon, written by `mix sidewinder.gen.tools`: do not edit." <> left)}

      @client #{client}
      #{Enum.map_join(named, "\n\n", &function(&1, pool))}
    end
    """
    |> Code.format_string!(line_length: 98)
    |> IO.iodata_to_binary()
    |> Kernel.<>("\n")
  end

  defp name?(name),
    do: name =~ ~r/^[a-z_][A-Za-z0-9_]*$/ and name not in @reserved and not String.starts_with?(name, "__")

  defp function(tool, pool) do
    {verb, returns} =
      if tool.stream?, do: {"stream", "Enumerable.t()"}, else: {"call", "{:ok, term} | {:error, Sidewinder.Error.t()}"}

    options = if pool, do: "[pool: #{inspect(pool)}] ++ opts", else: "opts"

    """
    @doc #{literal(doc(tool))}
    @spec #{tool.name}(map | keyword | list, keyword) :: #{returns}
    def #{tool.name}(arguments#{default(tool)}, opts \\\\ []),
      do: Sidewinder.#{verb}(@client, #{inspect(tool.name)}, arguments, #{options})
    """
  end

  # Without anything required a tool can be called without arguments.
  defp default(tool), do: if(Enum.any?(tool.parameters, & &1.required), do: "", else: " \\\\ %{}")

  defp doc(tool) do
    parameters = Enum.map(tool.parameters, &("  * `#{&1.name}`" <> type(&1) <> value(&1)))
    returns = if tool.returns in [nil, ""], do: [], else: ["Returns `#{tool.returns}`."]
    head = if tool.doc in [nil, ""], do: ["The tool `#{tool.name}`."], else: [tool.doc]
    Enum.join(head ++ if(parameters == [], do: [], else: [Enum.join(parameters, "\n")]) ++ returns, "\n\n")
  end

  defp type(%{type: type}) when type in [nil, ""], do: ""
  defp type(parameter), do: " (`#{parameter.type}`)"

  defp value(%{required: true}), do: ""
  defp value(%{default_json: nil}), do: ", not required"
  defp value(parameter), do: ", `#{parameter.default_json}` unless given"

  defp literal(text), do: inspect(text, printable_limit: :infinity, limit: :infinity, binaries: :as_strings)
end
